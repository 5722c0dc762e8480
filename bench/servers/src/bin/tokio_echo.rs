//! tokio: `--workers 1` its current-thread runtime, more its multi-thread one.

use servers::{BUFFER, listen, number};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Builder;

fn main() {
    let workers = number("--workers", 1);
    let mut builder = if workers == 1 {
        Builder::new_current_thread()
    } else {
        Builder::new_multi_thread()
    };
    if workers > 1 {
        builder.worker_threads(workers);
    }
    builder.enable_io().build().unwrap().block_on(async {
        let listener = listen();
        listener.set_nonblocking(true).unwrap();
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        // The accept loop runs on a worker, like everything else.
        tokio::spawn(async move {
            loop {
                let Ok((mut stream, _)) = listener.accept().await else {
                    continue;
                };
                stream.set_nodelay(true).unwrap();
                tokio::spawn(async move {
                    let mut buffer = vec![0; BUFFER];
                    while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                        if stream.write_all(&buffer[..count]).await.is_err() {
                            return;
                        }
                    }
                });
            }
        })
        .await
        .unwrap();
    });
}
