//! Puts the headers, the library, the pkg-config file and this program under a prefix.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use crate::place::Place;
use crate::run::ALWAYS;

/// The name by which programs ask for the library; `build.rs` gives it to it.
pub const SONAME: &str = "liboverlapped_win32.so.0";

pub fn install(words: &[String]) -> Result<ExitCode, String> {
    let [prefix] = words else {
        return Err("--install takes the directory to install into".to_string());
    };
    let prefix = Path::new(prefix);
    fs::create_dir_all(prefix).map_err(|error| format!("{}: {error}", prefix.display()))?;
    let prefix =
        fs::canonicalize(prefix).map_err(|error| format!("{}: {error}", prefix.display()))?;
    let place = Place::find()?;
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let version = env!("CARGO_PKG_VERSION");
    let (bin, lib) = (prefix.join("bin"), prefix.join("lib"));
    let real = format!("liboverlapped_win32.so.{version}");

    copy_all(&place.include, &prefix.join("include/overlapped-win32"))?;
    copy(&program, &bin.join("overlapped-cc"))?;
    link("overlapped-cc", &bin.join("overlapped-c++"))?;
    copy(
        &place.library.join("liboverlapped_win32.so"),
        &lib.join(&real),
    )?;
    copy(
        &place.library.join("liboverlapped_win32.a"),
        &lib.join("liboverlapped_win32.a"),
    )?;
    link(&real, &lib.join(SONAME))?;
    link(SONAME, &lib.join("liboverlapped_win32.so"))?;
    let description = format!(
        "prefix={}\n\
         includedir=${{prefix}}/include/overlapped-win32\n\
         libdir=${{prefix}}/lib\n\
         \n\
         Name: overlapped-win32\n\
         Description: {}\n\
         Version: {version}\n\
         Cflags: {} -I${{includedir}} -I${{includedir}}/spellings\n\
         Libs: -L${{libdir}} -Wl,-rpath,${{libdir}} -loverlapped_win32 -pthread\n\
         Libs.private: -lm -ldl\n",
        prefix.display(),
        env!("CARGO_PKG_DESCRIPTION"),
        ALWAYS.join(" "),
    );
    let file = lib.join("pkgconfig/overlapped-win32.pc");
    fs::create_dir_all(lib.join("pkgconfig"))
        .and_then(|()| fs::write(&file, description))
        .map_err(|error| format!("{}: {error}", file.display()))?;
    println!(
        "installed overlapped-win32 {version} into {}",
        prefix.display()
    );
    Ok(ExitCode::SUCCESS)
}

fn copy_all(from: &Path, to: &Path) -> Result<(), String> {
    let entries = fs::read_dir(from).map_err(|error| format!("{}: {error}", from.display()))?;
    for entry in entries {
        let entry = entry.map_err(|error| format!("{}: {error}", from.display()))?;
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy_all(&from, &to)?;
        } else {
            copy(&from, &to)?;
        }
    }
    Ok(())
}

/// In one step, so that a program or library that is in use is replaced and not written over.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let beside = to.with_extension("new");
    let put = || -> io::Result<()> {
        if let Some(directory) = to.parent() {
            fs::create_dir_all(directory)?;
        }
        fs::copy(from, &beside)?;
        fs::rename(&beside, to)
    };
    put().map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

/// Makes `path` name what is called `target` beside it. In one step: another compiler may be doing the
/// same, and a program be looking for it.
pub fn link(target: &str, path: &Path) -> Result<(), String> {
    #[cfg(unix)]
    let made = {
        let beside = path.with_extension(format!("{}.new", std::process::id()));
        let _ = fs::remove_file(&beside);
        std::os::unix::fs::symlink(target, &beside).and_then(|()| fs::rename(&beside, path))
    };
    #[cfg(not(unix))]
    let made: io::Result<()> = Err(io::Error::from(io::ErrorKind::Unsupported));
    made.map_err(|error| format!("{} to {target}: {error}", path.display()))
}
