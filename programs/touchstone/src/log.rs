//! `touchstone log`: what was measured, and what it leads to.

mod boot;
mod ima;
mod registers;

use crate::answer::Answered;
use crate::cli::Log;

pub(crate) fn run(verb: &Log) -> Answered {
    match verb {
        Log::Boot(arguments) => boot::run(arguments),
        Log::Ima(arguments) => ima::run(arguments),
    }
}
