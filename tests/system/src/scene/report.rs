//! What is told while the scene plays: what goes on now, and one line for each thing proven.

use indicatif::{ProgressBar, ProgressStyle};
use std::time::{Duration, Instant};

/// Tells a person what goes on.
pub struct Report {
    progress: ProgressBar,
    start: Instant,
    since: Instant,
    lines: Vec<String>,
}

impl Default for Report {
    fn default() -> Self {
        Self::new()
    }
}

impl Report {
    /// Shows progress on standard error if that is a terminal, and results on standard output.
    pub fn new() -> Self {
        let progress = ProgressBar::new_spinner();
        if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} ({elapsed})") {
            progress.set_style(style);
        }
        progress.enable_steady_tick(Duration::from_millis(120));
        let now = Instant::now();
        Self { progress, start: now, since: now, lines: Vec::new() }
    }

    /// Something begins.
    pub fn begin(&mut self, what: &str) {
        self.since = Instant::now();
        self.progress.reset_elapsed();
        self.progress.set_message(what.to_owned());
    }

    /// It was seen: one line, with how long it took.
    #[allow(clippy::print_stdout, reason = "the demo's answers go to standard output")]
    pub fn proven(&mut self, step: &str, what: &str) {
        let line =
            format!("\u{2713} {step:<12} {what}  ({:.1} s)", self.since.elapsed().as_secs_f64());
        self.since = Instant::now();
        self.progress.suspend(|| println!("{line}"));
        self.lines.push(line);
    }

    /// The lines so far.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// How long it has taken since the beginning.
    pub fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// No more progress is shown.
    pub fn end(&mut self) {
        self.progress.finish_and_clear();
    }
}
