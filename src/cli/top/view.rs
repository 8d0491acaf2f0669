//! How it is drawn: cores, ports, drops, and the peers in what room is left.

use super::figures::{Core, Figures, Order, Peer, Port};
use crate::cli::render::rate;
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Paragraph, Row, Table};

/// Lines of a part that has the most: with the peers' they fill 24 lines.
const MOST_CORES: usize = 4;
const MOST_PORTS: usize = 4;
const MOST_DROPS: usize = 4;

/// A part: its header, and its rows.
struct Part {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    /// Characters of each column, the first of which is left, as the last is if nothing is said of its width.
    widths: Vec<Constraint>,
}

/// Draws all of it.
pub(super) fn draw(frame: &mut Frame<'_>, figures: &Figures, order: Order, bold: bool) {
    let parts = [cores(figures), ports(figures), drops(figures), peers(figures, order)];
    let [cores, ports, drops, peers] = &parts;
    let height = |part: &Part| Constraint::Length(u16::try_from(part.rows.len()).unwrap_or(u16::MAX).saturating_add(2));
    let heights =
        [Constraint::Length(2), height(cores), height(ports), height(drops), Constraint::Min(0), Constraint::Length(1)];
    let [head, cores_at, ports_at, drops_at, peers_at, foot] = Layout::vertical(heights).areas(frame.area());
    frame.render_widget(Paragraph::new(summary(figures)), head);
    for (part, at) in [(cores, cores_at), (ports, ports_at), (drops, drops_at), (peers, peers_at)] {
        part.draw(frame, at, bold);
    }
    frame.render_widget(Paragraph::new("q quits; peers by b both ways, r what we receive, s what we send"), foot);
}

impl Part {
    fn new(titles: &[&str], widths: &[u16]) -> Self {
        let widths =
            widths.iter().map(|width| if *width == 0 { Constraint::Fill(1) } else { Constraint::Length(*width) });
        Self {
            header: titles.iter().map(|title| (*title).to_owned()).collect(),
            rows: Vec::new(),
            widths: widths.collect(),
        }
    }

    fn draw(&self, frame: &mut Frame<'_>, at: Rect, bold: bool) {
        let row = |cells: &Vec<String>| {
            let aligned = cells.iter().zip(&self.widths).enumerate().map(|(at, (cell, width))| {
                let line = Line::raw(cell.clone());
                // The first is a name; what fills the line is words.
                let is_left = at == 0 || matches!(width, Constraint::Fill(_));
                Text::from(if is_left { line } else { line.right_aligned() })
            });
            Row::new(aligned.collect::<Vec<_>>())
        };
        let style = if bold { Style::new().add_modifier(Modifier::REVERSED) } else { Style::new() };
        let table = Table::new(self.rows.iter().map(row), self.widths.clone()).header(row(&self.header).style(style));
        frame.render_widget(table.column_spacing(2), at);
    }
}

fn summary(figures: &Figures) -> String {
    let sum = |of: fn(&Port) -> f64| count(figures.ports.iter().map(of).sum());
    let (rx, tx) = (sum(|port| port.rx_packets), sum(|port| port.tx_packets));
    let dropped = count(figures.drops.iter().map(|drop| drop.rate).sum());
    let (size, free) = figures.pool;
    format!("culvert: {rx} packets/s in, {tx} out, {dropped} dropped; {free} of {size} mbufs free")
}

fn cores(figures: &Figures) -> Part {
    let mut part = Part::new(&["core", "busy", "turns/s", ""], &[20, 8, 10, 0]);
    part.rows = cut(&figures.cores, MOST_CORES, |core: &Core| {
        let how = if core.by_cycles { "of its cycles" } else { "of its turns (no cycles are counted)" };
        vec![core.name.clone(), format!("{:.1} %", core.busy * 100.0), count(core.turns), how.to_owned()]
    });
    part
}

fn ports(figures: &Figures) -> Part {
    let titles = ["port", "rx packets/s", "rx", "tx packets/s", "tx"];
    let mut part = Part::new(&titles, &[20, 12, 13, 12, 13]);
    part.rows = cut(&figures.ports, MOST_PORTS, |port: &Port| {
        let (rx, tx) = (rate(port.rx_bits), rate(port.tx_bits));
        vec![port.name.clone(), count(port.rx_packets), rx, count(port.tx_packets), tx]
    });
    part
}

fn drops(figures: &Figures) -> Part {
    let mut part = Part::new(&["dropped as", "packets/s", "packets", "what it means"], &[20, 9, 10, 0]);
    part.rows = cut(&figures.drops, MOST_DROPS, |drop: &super::figures::Drop| {
        vec![drop.reason.clone(), count(drop.rate), count(drop.packets as f64), drop.hint.clone()]
    });
    part
}

fn peers(figures: &Figures, order: Order) -> Part {
    let mark = |by: Order, title: &str| if order == by { format!("{title}*") } else { title.to_owned() };
    let name = format!("{} ({})", mark(Order::Both, "peer"), figures.peers_in_all);
    let titles = [name.as_str(), "on", &mark(Order::Receives, "receives"), &mark(Order::Sends, "sends"), "endpoint"];
    let mut part = Part::new(&titles, &[20, 8, 13, 13, 0]);
    part.rows = cut(&figures.peers, usize::MAX, |peer: &Peer| {
        vec![peer.name.clone(), peer.interface.clone(), rate(peer.rx_bps), rate(peer.tx_bps), peer.endpoint.clone()]
    });
    part
}

/// The first `most`; of more the last line says how many are left out.
fn cut<T>(all: &[T], most: usize, row: impl Fn(&T) -> Vec<String>) -> Vec<Vec<String>> {
    if all.len() <= most {
        return all.iter().map(row).collect();
    }
    let left_out = vec![format!("… {} more", all.len() - (most - 1))];
    all.iter().take(most - 1).map(row).chain([left_out]).collect()
}

/// A count in as many characters as it deserves.
fn count(value: f64) -> String {
    // The sum of nothing is -0.
    let mut value = value + 0.0;
    for unit in ["", " k", " M", " G"] {
        // What would be written as 1000 is 1.00 of the next.
        if value < 999.5 && unit.is_empty() {
            return format!("{value:.0}");
        }
        if value < 999.95 && !unit.is_empty() || unit == " G" {
            return format!("{value:.1}{unit}");
        }
        value /= 1000.0;
    }
    unreachable!("giga ends the loop")
}

#[cfg(test)]
mod tests {
    use super::super::figures::tests::two_looks;
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(figures: &Figures, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, figures, Order::Sends, true)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>().trim_end().to_owned() + "\n";
        (0..height).map(line).collect()
    }

    #[test]
    fn it_fits_80_by_24_and_nothing_is_too_small() {
        let (before, now) = two_looks();
        let figures = Figures::between(&before, &now);
        let expected = "\
culvert: 100 packets/s in, 10 out, 3 dropped; 16000 of 16383 mbufs free

core                      busy     turns/s
core-1                  75.0 %       1.0 k  of its cycles
core-2                  25.0 %       4.0 k  of its turns (no cycles are counted)

port                  rx packets/s             rx  tx packets/s             tx
wan                            100    1.20 Mbit/s            10    8.00 kbit/s

dropped as            packets/s     packets  what it means
no_route                      2          13  a route
replay                        1           3  again

peer (3)                    on       receives         sends*  endpoint
laptop                     wg0       10 bit/s    2.00 Mbit/s  192.0.2.7:7
BBBB                       wg0    1.00 kbit/s        0 bit/s
a\u{fffd}[2J                      wg1        0 bit/s        0 bit/s
";
        let shown = screen(&figures, 80, 24);
        assert_eq!(shown.lines().take(17).collect::<Vec<_>>(), expected.lines().collect::<Vec<_>>(), "{shown}");
        assert!(shown.ends_with("\nq quits; peers by b both ways, r what we receive, s what we send\n"), "{shown}");
        let many = Figures { cores: vec![figures.cores[0].clone(); 9], ..figures.clone() };
        assert!(
            screen(&many, 80, 24).contains("core-1                  75.0 %       1.0 k  of its cycles\n… 6 more\n")
        );
        for (width, height) in [(1, 1), (3, 50), (500, 2), (80, 8)] {
            screen(&many, width, height);
        }
        assert!(screen(&Figures::default(), 80, 24).starts_with("culvert: 0 packets/s in"));
    }

    #[test]
    fn counts_stay_short() {
        for (value, text) in
            [(0.0, "0"), (-0.0, "0"), (999.4, "999"), (999.6, "1.0 k"), (1_234_567.0, "1.2 M"), (5e12, "5000.0 G")]
        {
            assert_eq!(count(value), text);
        }
    }
}
