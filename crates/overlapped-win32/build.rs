//! How the shared library is linked.
//!
//! Its name has a version in it: what programs were linked to keeps its interface. And it binds its
//! own calls to itself, since programs have variables that are called `ConnectEx`.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("linux") {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-soname,liboverlapped_win32.so.0");
        println!("cargo:rustc-cdylib-link-arg=-Wl,-Bsymbolic");
    }
}
