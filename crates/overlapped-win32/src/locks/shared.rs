//! A lock that one has alone, or several share.

use super::Word;

/// How many share it; all ones if one has it alone.
const COUNT: u32 = (1 << 30) - 1;
const ALONE: u32 = COUNT;
const READERS_ASLEEP: u32 = 1 << 30;
const WRITERS_ASLEEP: u32 = 1 << 31;
const ASLEEP: u32 = READERS_ASLEEP | WRITERS_ASLEEP;

fn is_free(state: u32) -> bool {
    state & COUNT == 0
}

/// Nobody new comes in while others wait, or a stream of readers would keep writers out for ever.
fn is_open(state: u32) -> bool {
    state & COUNT < ALONE - 1 && state & ASLEEP == 0
}

pub(crate) struct Lock<'a, W> {
    /// The count and the marks.
    pub(crate) state: &'a W,
    /// What writers sleep on: changes when one is to be woken.
    pub(crate) turn: &'a W,
}

impl<W: Word> Lock<'_, W> {
    pub(crate) fn try_lock_shared(&self) -> bool {
        let mut state = self.state.load();
        while is_open(state) {
            match self.state.compare_exchange(state, state + 1) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    pub(crate) fn lock_shared(&self) {
        if self.try_lock_shared() {
            return;
        }
        let busy = |state| state & COUNT == ALONE && state & ASLEEP == 0;
        let mut state = self.state.spin(busy);
        loop {
            if is_open(state) {
                match self.state.compare_exchange(state, state + 1) {
                    Ok(_) => return,
                    Err(now) => state = now,
                }
                continue;
            }
            let marked = state | READERS_ASLEEP;
            if state != marked
                && let Err(now) = self.state.compare_exchange(state, marked)
            {
                state = now;
                continue;
            }
            self.state.sleep(marked, None);
            state = self.state.load();
        }
    }

    pub(crate) fn unlock_shared(&self) {
        let state = self.state.fetch_sub(1) - 1;
        // Readers only sleep behind a writer, and who is woken here is that.
        if is_free(state) && state & WRITERS_ASLEEP != 0 {
            self.wake(state);
        }
    }

    pub(crate) fn try_lock(&self) -> bool {
        let mut state = self.state.load();
        while is_free(state) {
            match self.state.compare_exchange(state, state | ALONE) {
                Ok(_) => return true,
                Err(now) => state = now,
            }
        }
        false
    }

    pub(crate) fn lock(&self) {
        if self.state.compare_exchange(0, ALONE).is_err() {
            self.wait();
        }
    }

    #[cold]
    fn wait(&self) {
        let busy = |state| !is_free(state) && state & WRITERS_ASLEEP == 0;
        let mut state = self.state.spin(busy);
        // Whoever slept cannot know that it was the only one.
        let mut others = 0;
        loop {
            if is_free(state) {
                let mine = state | ALONE | others;
                match self.state.compare_exchange(state, mine) {
                    Ok(_) => return,
                    Err(now) => state = now,
                }
                continue;
            }
            if state & WRITERS_ASLEEP == 0 {
                let marked = state | WRITERS_ASLEEP;
                if let Err(now) = self.state.compare_exchange(state, marked) {
                    state = now;
                    continue;
                }
            }
            others = WRITERS_ASLEEP;
            // In this order: what is given back after the look changes the turn.
            let turn = self.turn.load();
            state = self.state.load();
            if is_free(state) || state & WRITERS_ASLEEP == 0 {
                continue;
            }
            self.turn.sleep(turn, None);
            state = self.state.load();
        }
    }

    pub(crate) fn unlock(&self) {
        let state = self.state.fetch_sub(ALONE) - ALONE;
        if state & ASLEEP != 0 {
            self.wake(state);
        }
    }

    /// It is free, and somebody sleeps: a writer if there is one, else the readers.
    ///
    /// Whoever takes it meanwhile wakes the rest when it gives it back.
    #[cold]
    fn wake(&self, mut state: u32) {
        if state == WRITERS_ASLEEP {
            match self.state.compare_exchange(state, 0) {
                Ok(_) => {
                    self.wake_writer();
                    return;
                }
                // A reader may have come to sleep as well.
                Err(now) => state = now,
            }
        }
        if state == ASLEEP {
            // The readers' mark stays, for the writer to find.
            if self.state.compare_exchange(state, READERS_ASLEEP).is_err() {
                return;
            }
            if self.wake_writer() {
                return;
            }
            state = READERS_ASLEEP;
        }
        if state == READERS_ASLEEP && self.state.compare_exchange(state, 0).is_ok() {
            self.state.wake_all();
        }
    }

    fn wake_writer(&self) -> bool {
        self.turn.fetch_add(1);
        self.turn.wake_one()
    }
}
