//! A stream on which each answer belongs to the last question.

use super::TransportError;

/// Once a question went without its whole answer, what comes next may be the rest of it: then no
/// other is asked, lest a late response be taken for that of another command.
#[derive(Debug)]
pub(super) struct Line<S> {
    stream: S,
    lost: bool,
}

impl<S> Line<S> {
    pub(super) const fn new(stream: S) -> Self {
        Self { stream, lost: false }
    }

    /// Asks and hears the answer.
    pub(super) fn ask<T>(
        &mut self,
        exchange: impl FnOnce(&mut S) -> Result<T, TransportError>,
    ) -> Result<T, TransportError> {
        if self.lost {
            return Err(TransportError::Closed);
        }
        let heard = exchange(&mut self.stream);
        // A refusal is an answer.
        self.lost = !matches!(heard, Ok(_) | Err(TransportError::Platform(_)));
        heard
    }

    /// The stream, where no answer is awaited; none if it is lost.
    pub(super) fn unanswered(&mut self) -> Option<&mut S> {
        if self.lost { None } else { Some(&mut self.stream) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_that_comes_too_late_is_no_other_commands() {
        let mut line = Line::new(0);
        assert_eq!(
            line.ask(|_| Err::<(), _>(TransportError::TimedOut)),
            Err(TransportError::TimedOut)
        );
        assert_eq!(line.ask(|_| Ok(())), Err(TransportError::Closed));
        assert!(line.unanswered().is_none());
    }

    #[test]
    fn a_refusal_is_an_answer() {
        let mut line = Line::new(0);
        let refusal = TransportError::Platform(9);
        assert_eq!(line.ask(|_| Err::<(), _>(refusal)), Err(refusal));
        assert_eq!(line.ask(|_| Ok(())), Ok(()));
    }
}
