//! Linux: an alarm, which one thread sleeps by and others set and stop without waking it.
//!
//! A timerfd that is polled. Setting it is a system call that wakes nobody, and so costs far less than
//! a wake across processors. Whoever sleeps by it has the limit of its own wait in the poll.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
    timerfd_settime,
};

/// Made when somebody is to sleep by it; `None` where that failed.
pub(crate) type LazyAlarm = OnceLock<Option<Alarm>>;

pub(crate) struct Alarm {
    timer: OwnedFd,
}

impl Alarm {
    /// # Errors
    ///
    /// When there are no descriptors left, or a sandbox refuses a call that this needs.
    pub(crate) fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        let alarm = Alarm { timer };
        // Whatever is refused later would be too late.
        alarm.turn(None)?;
        alarm.sleep(Some(Duration::ZERO))?;
        Ok(alarm)
    }

    /// From now on it goes off after this long, or not at all; until then it has not gone off.
    pub(crate) fn set(&self, after: Option<Duration>) {
        // It cannot fail: the descriptor is a timer's, and the time is valid.
        let _ = self.turn(after);
    }

    fn turn(&self, after: Option<Duration>) -> rustix::io::Result<()> {
        let time = |duration| {
            Timespec::try_from(duration).unwrap_or(Timespec {
                tv_sec: i64::MAX,
                tv_nsec: 0,
            })
        };
        let timer = Itimerspec {
            it_interval: time(Duration::ZERO),
            // Zero would stop it.
            it_value: time(
                after.map_or(Duration::ZERO, |after| after.max(Duration::from_nanos(1))),
            ),
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &timer).map(drop)
    }

    /// Sleeps until it goes off, or has gone off, or for this long.
    pub(crate) fn wait(&self, timeout: Option<Duration>) {
        let _ = self.sleep(timeout);
    }

    fn sleep(&self, timeout: Option<Duration>) -> rustix::io::Result<usize> {
        // What the system cannot count to is for ever.
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        poll(
            &mut [PollFd::new(&self.timer, PollFlags::IN)],
            timeout.as_ref(),
        )
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn it_goes_off_when_set_and_wakes_who_sleeps() {
        let alarm = Alarm::new().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| alarm.wait(None));
            alarm.set(Some(Duration::ZERO));
        });
        // It has gone off, and so does for whoever comes.
        alarm.wait(None);
    }

    #[test]
    fn stopped_it_does_not_go_off_although_it_had() {
        let alarm = Alarm::new().unwrap();
        alarm.set(Some(Duration::ZERO));
        alarm.wait(None);
        alarm.set(None);
        assert_eq!(alarm.sleep(Some(Duration::from_millis(5))), Ok(0));
        alarm.set(Some(Duration::from_secs(1000)));
        assert_eq!(alarm.sleep(Some(Duration::from_millis(5))), Ok(0));
        alarm.set(Some(Duration::from_micros(10)));
        alarm.wait(None);
    }

    #[test]
    fn times_without_end_are_waited_for() {
        let alarm = Alarm::new().unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| alarm.wait(Some(Duration::MAX)));
            alarm.set(Some(Duration::MAX));
            alarm.set(Some(Duration::ZERO));
        });
    }
}
