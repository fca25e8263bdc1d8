//! How things look: by what the terminal can (24 bits, 256, 16 colours, none), on dark or light; never by colour alone.

use crate::colour;
use ratatui::style::{Color, Modifier, Style};

/// What the terminal can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Nothing but bold, reversed and the like: `NO_COLOR`, or a terminal without colours.
    Mono,
    /// The sixteen of every terminal.
    Sixteen,
    /// 256.
    Palette,
    /// 24 bits.
    True,
}

/// What a piece of the screen is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Words that people say.
    Plain,
    /// What may be overlooked: times, hints.
    Dim,
    /// Titles, the place where one is.
    Accent,
    /// What waits to be read.
    Unread,
    /// What failed.
    Error,
    /// Who is online, what arrived.
    Good,
    /// Who is away or busy.
    Absent,
    /// The row under the cursor.
    Selected,
    /// The bars that hold the screen together.
    Bar,
    /// Somebody's quoted words (XEP-0393).
    Quote,
    /// Preformatted text (XEP-0393).
    Code,
    /// An address that can be opened.
    Link,
}

/// The look of a screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Theme {
    /// What the terminal can.
    pub depth: Depth,
    /// Dark words on a light ground.
    pub light: bool,
}

impl Theme {
    /// Finds out from the environment: `NO_COLOR`, `COLORTERM`, `TERM`, `COLORFGBG`.
    pub fn detect(variable: impl Fn(&str) -> Option<String>) -> Theme {
        let set = |name: &str| variable(name).filter(|v| !v.is_empty());
        let term = set("TERM").unwrap_or_default();
        let deep = set("COLORTERM").is_some_and(|c| c == "truecolor" || c == "24bit");
        let depth = if set("NO_COLOR").is_some() || term == "dumb" || term.starts_with("vt") {
            Depth::Mono
        } else if deep || term.contains("direct") {
            Depth::True
        } else if term.contains("256") || term.contains("kitty") || term.contains("alacritty") {
            Depth::Palette
        } else {
            Depth::Sixteen
        };
        // By custom the last part is the background's number among the sixteen.
        let ground = set("COLORFGBG").and_then(|v| v.rsplit(';').next()?.parse::<u8>().ok());
        let light = matches!(ground, Some(7 | 9..=15));
        Theme { depth, light }
    }

    fn colour(self, sixteen: Color, dark: (u8, u8, u8), light: (u8, u8, u8)) -> Style {
        let (r, g, b) = if self.light { light } else { dark };
        match self.depth {
            Depth::Mono => Style::new(),
            Depth::Sixteen => Style::new().fg(sixteen),
            Depth::Palette => Style::new().fg(Color::Indexed(nearest(r, g, b))),
            Depth::True => Style::new().fg(Color::Rgb(r, g, b)),
        }
    }

    /// The style of a role.
    pub fn of(self, role: Role) -> Style {
        let bold = Modifier::BOLD;
        match role {
            Role::Plain => Style::new(),
            Role::Dim => match self.depth {
                Depth::Mono | Depth::Sixteen => Style::new().add_modifier(Modifier::DIM),
                _ => self.colour(Color::Gray, (138, 138, 148), (108, 108, 118)),
            },
            Role::Accent => self
                .colour(Color::Cyan, (95, 175, 255), (0, 85, 170))
                .add_modifier(bold),
            Role::Unread => self
                .colour(Color::Yellow, (255, 190, 70), (160, 90, 0))
                .add_modifier(bold),
            Role::Error => self
                .colour(Color::Red, (255, 105, 105), (185, 20, 20))
                .add_modifier(bold),
            Role::Good => self.colour(Color::Green, (95, 200, 120), (0, 115, 40)),
            Role::Absent => self.colour(Color::Yellow, (215, 175, 95), (140, 95, 0)),
            Role::Selected => Style::new().add_modifier(Modifier::REVERSED),
            Role::Bar => match self.depth {
                Depth::Mono | Depth::Sixteen => Style::new().add_modifier(Modifier::REVERSED),
                _ => {
                    let (fg, bg) = if self.light {
                        ((40, 40, 50), (222, 226, 232))
                    } else {
                        ((220, 222, 230), (48, 52, 64))
                    };
                    Style::new().fg(self.exact(fg)).bg(self.exact(bg))
                }
            },
            Role::Quote => self.of(Role::Dim).add_modifier(Modifier::ITALIC),
            Role::Code => self.colour(Color::Magenta, (190, 160, 240), (110, 50, 150)),
            Role::Link => self
                .colour(Color::Blue, (120, 170, 250), (0, 70, 180))
                .add_modifier(Modifier::UNDERLINED),
        }
    }

    fn exact(self, (r, g, b): (u8, u8, u8)) -> Color {
        match self.depth {
            Depth::True => Color::Rgb(r, g, b),
            _ => Color::Indexed(nearest(r, g, b)),
        }
    }

    /// A person's own colour (XEP-0392), with enough contrast on the ground.
    pub fn person(self, address: &str) -> Style {
        let bold = Style::new().add_modifier(Modifier::BOLD);
        let (r, g, b) = colour::of(address, if self.light { 40.0 } else { 70.0 });
        match self.depth {
            Depth::Mono => bold,
            Depth::Sixteen => {
                const WHEEL: [Color; 6] = [
                    Color::Red,
                    Color::Yellow,
                    Color::Green,
                    Color::Cyan,
                    Color::Blue,
                    Color::Magenta,
                ];
                // XEP-0392 section 5.4: the nearest of a small palette, by angle. HSLuv's red is at 12 degrees.
                let place = ((colour::angle(address) - 12.0).rem_euclid(360.0) / 60.0).round();
                bold.fg(WHEEL[place as usize % WHEEL.len()])
            }
            Depth::Palette => bold.fg(Color::Indexed(nearest(r, g, b))),
            Depth::True => bold.fg(Color::Rgb(r, g, b)),
        }
    }
}

/// The nearest of the 216 colours of the cube and the 24 greys.
fn nearest(r: u8, g: u8, b: u8) -> u8 {
    const STEPS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let distance = |a: (u8, u8, u8)| {
        let part = |x: u8, y: u8| u32::from(x.abs_diff(y)).pow(2);
        part(a.0, r) + part(a.1, g) + part(a.2, b)
    };
    let step = |c: u8| (0..6).min_by_key(|i| STEPS[*i].abs_diff(c)).unwrap_or(0);
    let (x, y, z) = (step(r), step(g), step(b));
    let cube = distance((STEPS[x], STEPS[y], STEPS[z]));
    let grey = |i: u8| 8 + 10 * i;
    let best = (0..24u8)
        .min_by_key(|i| distance((grey(*i), grey(*i), grey(*i))))
        .unwrap_or(0);
    if distance((grey(best), grey(best), grey(best))) < cube {
        232 + best
    } else {
        16 + 36 * x as u8 + 6 * y as u8 + z as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(variables: &[(&str, &str)]) -> Theme {
        Theme::detect(|name| {
            let found = variables.iter().find(|(n, _)| *n == name);
            found.map(|(_, v)| (*v).to_owned())
        })
    }

    #[test]
    fn the_environment_says_what_a_terminal_can() {
        assert_eq!(with(&[("TERM", "xterm-256color")]).depth, Depth::Palette);
        assert_eq!(with(&[("TERM", "xterm")]).depth, Depth::Sixteen);
        let deep = [("TERM", "xterm-256color"), ("COLORTERM", "truecolor")];
        assert_eq!(with(&deep).depth, Depth::True);
        let mono = [("COLORTERM", "truecolor"), ("NO_COLOR", "1")];
        assert_eq!(with(&mono).depth, Depth::Mono);
        assert_eq!(
            with(&[("TERM", "linux"), ("NO_COLOR", "")]).depth,
            Depth::Sixteen
        );
        assert!(with(&[("COLORFGBG", "0;15")]).light);
        assert!(!with(&[("COLORFGBG", "15;0")]).light);
    }

    #[test]
    fn without_colours_no_style_has_one() {
        let theme = with(&[("NO_COLOR", "1")]);
        for role in [Role::Dim, Role::Unread, Role::Error, Role::Good, Role::Bar] {
            assert_eq!((theme.of(role).fg, theme.of(role).bg), (None, None));
        }
        assert_eq!(theme.person("a@x").fg, None);
        assert_eq!(nearest(255, 0, 0), 196);
        assert_eq!(nearest(118, 118, 118), 243);
    }
}
