//! What can be compared: servers, loads, and the sets of both that have a name.

use std::fmt;
use std::path::Path;

/// A server with its arguments.
#[derive(Clone)]
pub struct Variant {
    pub name: String,
    pub command: Vec<String>,
}

impl Variant {
    /// From `name=program argument ...`, split at white space.
    pub fn parse(text: &str) -> Result<Self, String> {
        let (name, command) = text
            .split_once('=')
            .ok_or_else(|| format!("--variant {text}: expected NAME='PROGRAM ARGUMENTS'"))?;
        let command: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        if name.is_empty() || command.is_empty() {
            return Err(format!(
                "--variant {text}: the name or the program is missing"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            command,
        })
    }
}

/// One kind of load.
#[derive(Clone, Copy)]
pub struct Point {
    pub connections: usize,
    pub size: usize,
    pub depth: usize,
    pub churn: bool,
}

impl Point {
    pub fn matrix(
        connections: &[usize],
        sizes: &[usize],
        depths: &[usize],
        churn: bool,
    ) -> Vec<Self> {
        let mut points = Vec::new();
        for &size in sizes {
            for &depth in depths {
                for &connections in connections {
                    points.push(Self {
                        connections,
                        size,
                        depth,
                        churn,
                    });
                }
            }
        }
        points
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connections,
            size,
            depth,
            churn,
        } = *self;
        let connections = match connections {
            1 => "1 connection".to_owned(),
            many => format!("{many} connections"),
        };
        match churn {
            true => write!(
                f,
                "a new connection per {size}-byte echo, {connections} at a time"
            ),
            false => write!(f, "{size}-byte echo, {connections}, depth {depth}"),
        }
    }
}

/// A set of load points; every preset is run with the same servers.
pub struct Preset {
    pub name: &'static str,
    pub connections: &'static [usize],
    pub sizes: &'static [usize],
    pub depths: &'static [usize],
    pub churn: bool,
}

pub const PRESETS: [Preset; 4] = [
    Preset {
        name: "echo64",
        connections: &[10, 100, 1000],
        sizes: &[64],
        depths: &[1],
        churn: false,
    },
    Preset {
        name: "pipeline",
        connections: &[10, 100],
        sizes: &[64],
        depths: &[16],
        churn: false,
    },
    Preset {
        name: "bulk",
        connections: &[10],
        sizes: &[4096, 65536],
        depths: &[1],
        churn: false,
    },
    Preset {
        name: "churn",
        connections: &[10, 100],
        sizes: &[64],
        depths: &[1],
        churn: true,
    },
];

/// The servers of every preset. Our own are left out where they have not been built.
pub fn variants(directory: &Path) -> Vec<Variant> {
    let peers = [
        "epoll-1=epoll_plain",
        "epoll-2=epoll_plain --workers 2",
        "epoll-2-shared=epoll_plain --workers 2 --shared",
        "mio-1=mio_echo",
        "tokio-1=tokio_echo",
        "tokio-2=tokio_echo --workers 2",
    ];
    let own = [
        "overlapped-1=overlapped_echo --workers 1",
        "overlapped-2=overlapped_echo --workers 2",
    ];
    let own = own
        .into_iter()
        .filter(|_| directory.join("overlapped_echo").exists());
    peers
        .into_iter()
        .chain(own)
        .map(|text| Variant::parse(text).expect("a valid variant"))
        .collect()
}
