//! What the types forbid: examples that must not compile, each beside its twin that does, so that
//! the one line in which they differ is what is refused. Doc tests, because their verdict does not
//! depend on the compiler's wording.

/// A started operation is the port's: its buffer cannot be reached.
///
/// ```
/// # use overlapped::{Operation, Socket};
/// fn twin(socket: Socket<(), ()>) {
///     let mut operation = Operation::with_capacity(64, ());
///     operation.vec_mut().push(0);
///     let _ = socket.recv(operation);
/// }
/// ```
///
/// ```compile_fail,E0382
/// # use overlapped::{Operation, Socket};
/// fn misuse(socket: Socket<(), ()>) {
///     let mut operation = Operation::with_capacity(64, ());
///     let _ = socket.recv(operation);
///     operation.vec_mut().push(0);
/// }
/// ```
struct StartedOperationIsGone;

/// A buffer cannot borrow what may be gone before the packet is out.
///
/// ```
/// # use overlapped::{Operation, Socket};
/// fn twin(socket: Socket<(), ()>) {
///     let bytes = vec![1, 2, 3];
///     let _ = socket.send(Operation::new(bytes.clone(), ()));
/// }
/// ```
///
/// ```compile_fail,E0597
/// # use overlapped::{Operation, Socket};
/// fn misuse(socket: Socket<(), ()>) {
///     let bytes = vec![1, 2, 3];
///     let _ = socket.send(Operation::new(&bytes[..], ()));
/// }
/// ```
struct BorrowedBytes;

/// A buffer type of one's own could move its bytes while they are received into.
///
/// ```
/// # use overlapped::Operation;
/// struct Mine([u8; 64]);
/// let _ = Operation::new(Vec::from(Mine([0; 64]).0), ());
/// ```
///
/// ```compile_fail,E0277
/// # use overlapped::Operation;
/// struct Mine([u8; 64]);
/// let _ = Operation::new(Mine([0; 64]), ());
/// ```
struct BufferOfOnesOwn;

/// Packets of one socket are handled by several threads at once, so its key is shared.
///
/// ```
/// # use overlapped::CompletionPort;
/// let _ = CompletionPort::<std::sync::atomic::AtomicU32, ()>::new(1);
/// ```
///
/// ```compile_fail,E0599
/// # use overlapped::CompletionPort;
/// let _ = CompletionPort::<std::cell::Cell<u32>, ()>::new(1);
/// ```
struct KeyOfOneThread;

/// An operation comes back on any thread, so its value must be able to go there.
///
/// ```
/// # use overlapped::CompletionPort;
/// let _ = CompletionPort::<(), std::sync::Arc<u32>>::new(1);
/// ```
///
/// ```compile_fail,E0599
/// # use overlapped::CompletionPort;
/// let _ = CompletionPort::<(), std::rc::Rc<u32>>::new(1);
/// ```
struct ValueOfOneThread;

/// What comes out of a port is of the type that goes in.
///
/// ```
/// # use overlapped::{CompletionPort, Operation};
/// let port: CompletionPort<(), u32> = CompletionPort::new(1).unwrap();
/// let _ = port.post(Operation::new("", 1), 0);
/// ```
///
/// ```compile_fail,E0308
/// # use overlapped::{CompletionPort, Operation};
/// let port: CompletionPort<(), u32> = CompletionPort::new(1).unwrap();
/// let _ = port.post(Operation::new("", "text"), 0);
/// ```
struct OperationOfAnotherType;

/// A value that borrows could dangle when the operation is dropped late.
///
/// ```
/// # use overlapped::CompletionPort;
/// fn twin(text: &'static str) {
///     let port = CompletionPort::<(), &str>::new(1).unwrap();
///     let _ = port.post(overlapped::Operation::new("", text), 0);
/// }
/// ```
///
/// ```compile_fail
/// # use overlapped::CompletionPort;
/// fn misuse<'a>(text: &'a str) {
///     let port = CompletionPort::<(), &'a str>::new(1).unwrap();
///     let _ = port.post(overlapped::Operation::new("", text), 0);
/// }
/// ```
struct ValueThatBorrows;
