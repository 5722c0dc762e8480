//! The process: only its own, which is never signalled as long as it can be waited for.

use std::sync::{Arc, LazyLock};

use crate::dispatcher::{Kind, Signal};

pub(crate) struct Process {
    signal: Signal,
}

impl Process {
    pub(crate) fn current() -> Arc<Process> {
        static CURRENT: LazyLock<Arc<Process>> = LazyLock::new(|| {
            Arc::new(Process {
                signal: Signal::new(Kind::Until, 0),
            })
        });
        CURRENT.clone()
    }

    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }
}
