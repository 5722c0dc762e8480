//! What can be compared: servers, loads, and the sets of both that have a name.

use std::fmt;

use load::job::{Job, MESSAGE, Mix, Share};

/// A server with its arguments.
#[derive(Clone)]
pub struct Variant {
    pub name: String,
    pub command: Vec<String>,
}

impl Variant {
    /// One of ours: it may not have been built, or not have this mode here.
    pub fn is_own(&self) -> bool {
        self.command[0] == "overlapped_echo"
    }

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
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Point {
    pub connections: usize,
    pub size: usize,
    pub depth: usize,
    pub churn: bool,
    /// Of an open loop.
    pub mix: Option<Mix>,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            connections,
            size,
            depth,
            churn,
            mix,
        } = *self;
        let connections = match connections {
            1 => "1 connection".to_owned(),
            many => format!("{many} connections"),
        };
        if let Some(Mix { rate, job, share }) = mix {
            write!(f, "{rate} requests/s over {connections}, ")?;
            return match (job, share) {
                (_, Share::NONE) => write!(f, "no handler blocks"),
                (Job::Compute, _) => write!(f, "{share} % compute for 2 ms"),
                _ => write!(f, "{share} % block for 10 ms ({job})"),
            };
        }
        match churn {
            true => write!(
                f,
                "a new connection per {size}-byte echo, {connections} at a time"
            ),
            false => write!(f, "{size}-byte echo, {connections}, depth {depth}"),
        }
    }
}

/// Load points: each size with each depth with each number of connections.
pub struct Matrix {
    pub connections: Vec<usize>,
    pub sizes: Vec<usize>,
    pub depths: Vec<usize>,
    pub churn: bool,
    pub open: Option<OpenLoop>,
}

/// Loads of an open loop: each job with each share.
pub struct OpenLoop {
    pub rate: u32,
    pub jobs: Vec<Job>,
    pub shares: Vec<Share>,
}

impl OpenLoop {
    fn mixes(&self) -> impl Iterator<Item = Mix> {
        let Self { rate, jobs, shares } = self;
        jobs.iter().flat_map(move |&job| {
            let mix = move |&share| Mix {
                rate: *rate,
                job,
                share,
            };
            shares.iter().map(mix)
        })
    }
}

impl Matrix {
    fn echo(connections: &[usize], sizes: &[usize], depths: &[usize]) -> Self {
        Self {
            connections: connections.to_vec(),
            sizes: sizes.to_vec(),
            depths: depths.to_vec(),
            churn: false,
            open: None,
        }
    }

    fn open(jobs: &[Job], percents: &[&str]) -> Self {
        let share = |text: &&str| Share::percent(text).expect("a valid share");
        Self {
            open: Some(OpenLoop {
                rate: 20_000,
                jobs: jobs.to_vec(),
                shares: percents.iter().map(share).collect(),
            }),
            ..Self::echo(&[100], &[MESSAGE], &[1])
        }
    }

    fn churn(connections: &[usize], sizes: &[usize]) -> Self {
        Self {
            churn: true,
            ..Self::echo(connections, sizes, &[1])
        }
    }

    pub fn points(&self) -> impl Iterator<Item = Point> {
        let churn = self.churn;
        let mixes: Vec<Option<Mix>> = match &self.open {
            Some(open) => open.mixes().map(Some).collect(),
            None => vec![None],
        };
        mixes.into_iter().flat_map(move |mix| {
            self.sizes.iter().flat_map(move |&size| {
                self.depths.iter().flat_map(move |&depth| {
                    self.connections.iter().map(move |&connections| Point {
                        connections,
                        size,
                        depth,
                        churn,
                        mix,
                    })
                })
            })
        })
    }
}

impl Default for Matrix {
    /// The loads where no preset is given.
    fn default() -> Self {
        Self::echo(&[100], &[64], &[1])
    }
}

/// Loads that have a name, and the servers they are meant for.
pub struct Preset {
    pub loads: Vec<Matrix>,
    pub servers: Vec<Variant>,
}

impl Preset {
    pub fn named(name: &str) -> Option<Self> {
        let (loads, servers) = match name {
            "echo64" => (vec![Matrix::echo(&[10, 100, 1000], &[64], &[1])], "usual"),
            "pipeline" => (vec![Matrix::echo(&[10, 100], &[64], &[16])], "usual"),
            "bulk" => (vec![Matrix::echo(&[10], &[4096, 65536], &[1])], "usual"),
            "churn" => (vec![Matrix::churn(&[10, 100], &[64])], "usual"),
            "exclusive" => {
                let loads = vec![
                    Matrix::echo(&[1, 10, 100, 1000, 5000], &[64], &[1]),
                    Matrix::echo(&[10, 100], &[64], &[16]),
                    Matrix::echo(&[10, 100], &[4096, 65536], &[1]),
                    Matrix::churn(&[10, 100], &[64]),
                ];
                (loads, "exclusive")
            }
            "blocking" => {
                let loads = vec![
                    Matrix::open(&[Job::Sleep], &["0"]),
                    Matrix::open(&[Job::Sleep, Job::Database, Job::Disk], &["0.1", "1", "5"]),
                    Matrix::open(&[Job::Compute], &["1"]),
                ];
                (loads, "blocking")
            }
            "fairness" => (vec![Matrix::echo(&[1000, 5000], &[64], &[1])], "fairness"),
            _ => return None,
        };
        let servers = servers_named(servers).expect("a known set");
        Some(Self { loads, servers })
    }
}

/// A set of servers that has a name. The first is the baseline.
pub fn servers_named(name: &str) -> Option<Vec<Variant>> {
    let servers: &[&str] = match name {
        "usual" => &[
            "epoll-1=epoll_plain",
            "epoll-2=epoll_plain --workers 2",
            "epoll-2-shared=epoll_plain --workers 2 --shared",
            "mio-1=mio_echo",
            "tokio-1=tokio_echo",
            "tokio-2=tokio_echo --workers 2",
            "overlapped-1=overlapped_echo --workers 1",
            "overlapped-2=overlapped_echo --workers 2",
        ],
        // One thread each.
        "exclusive" => &[
            "uring-hand=uring_hand",
            "epoll-1=epoll_plain",
            "mio-1=mio_echo",
            "tokio-1=tokio_echo",
            "compio-1=compio_echo",
            "compio-1-coop=compio_echo --coop",
            "monoio-1=monoio_echo",
            "monoio-1-coop=monoio_echo --coop",
            "overlapped-1=overlapped_echo --workers 1",
            "overlapped-exclusive=overlapped_echo --exclusive",
        ],
        // What serves while handlers block. Where the number of threads is chosen, and not by the
        // library, it is 2, as the port's concurrency value.
        "blocking" => &[
            "epoll-2-shared=epoll_plain --workers 2 --shared --handler plain",
            "epoll-16-shared=epoll_plain --workers 16 --shared --handler plain",
            "threads=thread_echo --handler plain",
            "tokio-2=tokio_echo --workers 2 --handler plain",
            "tokio-2-in-place=tokio_echo --workers 2 --handler marked",
            "tokio-2-spawn=tokio_echo --workers 2 --handler offloaded",
            "compio-2=compio_echo --workers 2 --handler plain",
            "monoio-2=monoio_echo --workers 2 --handler plain",
            "overlapped-2=overlapped_echo --workers 2 --handler plain",
            "overlapped-16=overlapped_echo --workers 16 --handler plain",
            "overlapped-24=overlapped_echo --workers 24 --handler plain",
            "overlapped-24-marked=overlapped_echo --workers 24 --handler marked",
            "overlapped-24-at-16=overlapped_echo --workers 24 --concurrency 16 --slice 100 --handler plain",
        ],
        // The same, in an echo.
        "fairness" => &[
            "epoll-2=epoll_plain --workers 2",
            "epoll-2-shared=epoll_plain --workers 2 --shared",
            "epoll-16-shared=epoll_plain --workers 16 --shared",
            "threads=thread_echo",
            "tokio-2=tokio_echo --workers 2",
            "compio-2=compio_echo --workers 2",
            "monoio-2=monoio_echo --workers 2",
            "overlapped-2=overlapped_echo --workers 2",
            "overlapped-16=overlapped_echo --workers 16",
            "overlapped-24=overlapped_echo --workers 24",
        ],
        _ => return None,
    };
    let variants = servers.iter().map(|text| Variant::parse(text));
    Some(variants.map(|one| one.expect("a valid variant")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_preset_names_a_point_or_a_server_twice() {
        let names = [
            "echo64",
            "pipeline",
            "bulk",
            "churn",
            "exclusive",
            "blocking",
            "fairness",
        ];
        for name in names {
            let preset = Preset::named(name).unwrap();
            let points: Vec<Point> = preset.loads.iter().flat_map(Matrix::points).collect();
            for (number, point) in points.iter().enumerate() {
                assert!(!points[..number].contains(point), "{name}: {point}");
            }
            for (number, server) in preset.servers.iter().enumerate() {
                let earlier = &preset.servers[..number];
                let twice = earlier.iter().any(|other| other.name == server.name);
                assert!(!twice, "{name}: {}", server.name);
            }
        }
    }
}
