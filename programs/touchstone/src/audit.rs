//! `touchstone audit`.

mod compare;
mod read;
mod verify;

use crate::answer::Answered;
use crate::cli::Audit;

pub(crate) fn run(verb: &Audit) -> Answered {
    match verb {
        Audit::Verify { file, from, head, checkpoint, key, ask_fleet, fleet } => {
            let known =
                verify::Asked { head: *head, checkpoint, key, ask_fleet: *ask_fleet, fleet };
            verify::run(file, *from, &known)
        }
        Audit::Show { file, filter } => read::show(file, filter),
        Audit::Export { file, format, hostname, filter } => {
            read::export(file, *format, hostname.as_deref(), filter)
        }
        Audit::Compare { file, received, filter } => compare::run(file, received, filter),
    }
}
