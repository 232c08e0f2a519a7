//! The terminal as a screen: taken when it begins, and given back as it was however the program ends.
//!
//! A panic prints its message after the screen is given back, so that it can be read.

use std::io::{self, IsTerminal, Stdout, Write};
use std::panic;
use std::sync::atomic::{AtomicBool, Ordering};

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{DisableBracketedPaste, EnableBracketedPaste};
use ratatui::crossterm::terminal::{
    Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
};
use ratatui::crossterm::{cursor, execute};

use super::model::Model;
use super::view;

/// Why there is nothing to draw on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoScreen {
    #[error(
        "poolgate top draws on a terminal, and standard input or output is none: use `poolgate status`, or `poolgate events --follow` to read on"
    )]
    NoTerminal,
    #[error(
        "poolgate top moves the cursor about, which this terminal cannot (TERM=dumb): use `poolgate status`, or `poolgate events --follow` to read on"
    )]
    Dumb,
}

/// `term` is what the environment calls it.
pub(super) fn check(term: Option<&str>) -> Result<(), NoScreen> {
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Err(NoScreen::NoTerminal);
    }
    match term {
        Some("dumb") => Err(NoScreen::Dumb),
        _ => Ok(()),
    }
}

/// Whether this process has a terminal to give back.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

pub(super) struct Screen {
    terminal: Terminal<CrosstermBackend<Stdout>>,
}

impl Screen {
    pub fn take() -> io::Result<Self> {
        give_back_on_panic();
        IS_TAKEN.store(true, Ordering::SeqCst);
        let taken = Self::begin();
        if taken.is_err() {
            give_back();
        }
        taken
    }

    fn begin() -> io::Result<Self> {
        enable_raw_mode()?;
        execute!(
            io::stdout(),
            EnterAlternateScreen,
            Clear(ClearType::All),
            EnableBracketedPaste,
            cursor::Hide
        )?;
        // Nothing here asks the terminal where its cursor is: not every one answers.
        let terminal = Terminal::new(CrosstermBackend::new(io::stdout()))?;
        Ok(Self { terminal })
    }

    pub fn draw(&mut self, model: &Model) -> io::Result<()> {
        self.terminal.draw(|frame| view::draw(model, frame))?;
        Ok(())
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        give_back();
    }
}

fn give_back_on_panic() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        give_back();
        before(panic);
    }));
}

/// Once, whoever comes first; where the terminal is gone there is nothing left to do.
fn give_back() {
    if !IS_TAKEN.swap(false, Ordering::SeqCst) {
        return;
    }
    let mut out = io::stdout();
    drop(execute!(
        out,
        DisableBracketedPaste,
        LeaveAlternateScreen,
        cursor::Show
    ));
    drop(disable_raw_mode());
    drop(out.flush());
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::AsyncReadExt;

    use super::*;

    #[test]
    #[ignore = "it fails on purpose, on a terminal that the test below has for it"]
    fn panics_on_a_screen() {
        let _screen = Screen::take().unwrap();
        panic!("on purpose");
    }

    #[tokio::test]
    async fn a_panic_is_read_on_a_terminal_that_was_given_back() {
        let (mut terminal, end) = pty_process::open().unwrap();
        let own = std::env::current_exe().unwrap();
        let script = format!(
            "'{}' --ignored --nocapture --exact cli::top::terminal::tests::panics_on_a_screen; stty -a; echo over",
            own.display()
        );
        let shell = pty_process::Command::new("sh").args(["-c", &script]);
        let mut shell = shell.spawn(end).unwrap();
        let mut told = Vec::new();
        // A terminal that nobody has open any more ends with an error.
        let reading = terminal.read_to_end(&mut told);
        drop(tokio::time::timeout(Duration::from_secs(60), reading).await);
        shell.wait().await.unwrap();
        let told = String::from_utf8_lossy(&told);
        let at = |what: &str| {
            told.find(what)
                .unwrap_or_else(|| panic!("no {what:?}: {told}"))
        };
        assert!(at("\u{1b}[?1049h") < at("\u{1b}[?1049l"));
        assert!(at("\u{1b}[?1049l") < at("on purpose") && at("\u{1b}[?25h") < at("over"));
        assert!(
            told.contains(" icanon") && told.contains(" echo "),
            "{told}"
        );
    }
}
