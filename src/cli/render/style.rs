//! Colours, which only repeat what the words say already.

use crate::cli::screen::Color;
use anstyle::{AnsiColor, Style};

/// The few styles there are, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Palette {
    on: bool,
}

/// What `--color` and the stream itself say together.
pub fn wanted(asked: Color, stream: anstream::ColorChoice) -> bool {
    match asked {
        Color::Always => true,
        Color::Never => false,
        Color::Auto => !matches!(stream, anstream::ColorChoice::Never),
    }
}

impl Palette {
    #[cfg(test)]
    pub const PLAIN: Self = Self { on: false };

    pub fn new(on: bool) -> Self {
        Self { on }
    }

    pub fn is_on(self) -> bool {
        self.on
    }

    fn paint(self, style: Style, text: &str) -> String {
        if self.on { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    pub fn error(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default().bold(), text)
    }

    pub fn warning(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default().bold(), text)
    }

    pub fn hint(self, text: &str) -> String {
        self.paint(AnsiColor::Cyan.on_default().bold(), text)
    }

    pub fn strong(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    pub fn faint(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    /// What comes.
    pub fn plus(self, text: &str) -> String {
        self.paint(AnsiColor::Green.on_default(), text)
    }

    /// What goes.
    pub fn minus(self, text: &str) -> String {
        self.paint(AnsiColor::Red.on_default(), text)
    }

    /// What changes.
    pub fn tilde(self, text: &str) -> String {
        self.paint(AnsiColor::Yellow.on_default(), text)
    }
}
