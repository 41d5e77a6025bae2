//! What to do backwards when a change fails half-way.

use crate::error::Result;

/// Steps that undo a change, run in reverse order unless the change is kept.
#[derive(Default)]
pub(super) struct Undo {
    steps: Vec<Box<dyn FnOnce() -> Result<()>>>,
}

impl Undo {
    /// Adds how to undo what was just done.
    pub(super) fn push(&mut self, step: impl FnOnce() -> Result<()> + 'static) {
        self.steps.push(Box::new(step));
    }

    /// The change is complete and stays.
    pub(super) fn keep(mut self) {
        self.steps.clear();
    }
}

impl Drop for Undo {
    fn drop(&mut self) {
        for step in self.steps.drain(..).rev() {
            if let Err(error) = step() {
                // The failure that led here is the one to report; `detach --all` cleans up after this one.
                tracing::warn!("while undoing: {error}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::RefCell, rc::Rc};

    use super::*;

    #[test]
    fn steps_run_backwards_unless_the_change_is_kept() {
        let log = Rc::new(RefCell::new(Vec::new()));
        let fill = |undo: &mut Undo| {
            for i in 0..3 {
                let log = Rc::clone(&log);
                undo.push(move || {
                    log.borrow_mut().push(i);
                    Ok(())
                });
            }
        };
        let mut kept = Undo::default();
        fill(&mut kept);
        kept.keep();
        assert!(log.borrow().is_empty());
        let mut failed = Undo::default();
        fill(&mut failed);
        drop(failed);
        assert_eq!(*log.borrow(), [2, 1, 0]);
    }
}
