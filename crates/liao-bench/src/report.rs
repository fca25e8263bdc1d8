//! Figures of several rounds as a table for people and JSON for programs: median, and the spread beside it.

use crate::os::Machine;
use serde_json::{Value, json};

/// One figure over the rounds.
#[derive(Debug, Clone)]
pub struct Figure {
    /// What it is, with its unit.
    pub name: &'static str,
    /// One value a round; empty: not measured.
    pub rounds: Vec<f64>,
}

impl Figure {
    /// The middle one.
    pub fn median(&self) -> Option<f64> {
        let mut sorted = self.rounds.clone();
        sorted.sort_by(f64::total_cmp);
        sorted.get(sorted.len() / 2).copied()
    }

    fn spread(&self) -> Option<(f64, f64)> {
        let min = self.rounds.iter().copied().min_by(f64::total_cmp)?;
        let max = self.rounds.iter().copied().max_by(f64::total_cmp)?;
        Some((min, max))
    }
}

/// A column: the server, or the relay.
#[derive(Debug, Clone)]
pub struct Column {
    /// Who was measured.
    pub name: String,
    /// Its figures, the same ones in each column.
    pub figures: Vec<Figure>,
}

/// A bench's result.
#[derive(Debug, Clone)]
pub struct Report {
    /// The scenario and its settings.
    pub title: String,
    /// What it ran on.
    pub machine: Machine,
    /// The server first, then the relay.
    pub columns: Vec<Column>,
    /// What a reader must know.
    pub notes: Vec<String>,
}

fn number(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

fn cell(figure: &Figure) -> String {
    match (figure.median(), figure.spread()) {
        (Some(median), Some((min, max))) => {
            format!("{} ({}..{})", number(median), number(min), number(max))
        }
        _ => "not measured".to_owned(),
    }
}

impl Report {
    /// The first column's median over the last one's.
    fn ratio(&self, row: usize) -> Option<f64> {
        let of = |c: &Column| c.figures.get(row).and_then(Figure::median);
        let below = of(self.columns.last()?)?;
        (below != 0.0).then_some(of(self.columns.first()?)? / below)
    }

    /// A Markdown table.
    pub fn table(&self) -> String {
        let machine = &self.machine;
        let memory = machine.memory_bytes.map_or(String::new(), |b| {
            format!(", {:.0} GiB", b as f64 / (1u64 << 30) as f64)
        });
        let load = machine
            .load
            .map_or(String::new(), |l| format!(", load {l:.2} before"));
        let mut out = format!(
            "{}\n{} cores of {}{memory}, {}{load}\n\n| median (min..max) |",
            self.title, machine.cores, machine.cpu, machine.kernel
        );
        for column in &self.columns {
            out += &format!(" {} |", column.name);
        }
        out += " ratio |\n| --- |";
        out += &" ---: |".repeat(self.columns.len() + 1);
        out += "\n";
        let rows = self.columns.first().map_or(0, |c| c.figures.len());
        for row in 0..rows {
            out += &format!("| {} |", self.columns[0].figures[row].name);
            for column in &self.columns {
                out += &format!(" {} |", column.figures.get(row).map_or(String::new(), cell));
            }
            out += &self
                .ratio(row)
                .map_or(" |\n".to_owned(), |r| format!(" {} |\n", number(r)));
        }
        for note in &self.notes {
            out += &format!("\n{note}\n");
        }
        out
    }

    /// The same for programs.
    pub fn json(&self) -> Value {
        let columns: Vec<Value> = self
            .columns
            .iter()
            .map(|c| {
                let figures: serde_json::Map<String, Value> = c
                    .figures
                    .iter()
                    .map(|f| {
                        (
                            f.name.to_owned(),
                            json!({"median": f.median(), "rounds": f.rounds}),
                        )
                    })
                    .collect();
                json!({"name": c.name, "figures": figures})
            })
            .collect();
        let machine = json!({
            "cores": self.machine.cores, "cpu": self.machine.cpu, "kernel": self.machine.kernel,
            "memory_bytes": self.machine.memory_bytes, "load": self.machine.load,
        });
        json!({"title": self.title, "machine": machine, "columns": columns, "notes": self.notes})
    }
}

/// The value below which this share of sorted values lies.
pub fn percentile(sorted: &[u64], share: f64) -> f64 {
    let at = ((sorted.len() as f64 * share) as usize).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, |v| *v as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_medians_spreads_and_ratios() {
        let column = |name: &str, rounds: &[f64]| Column {
            name: name.into(),
            figures: vec![
                Figure {
                    name: "messages/s",
                    rounds: rounds.to_vec(),
                },
                Figure {
                    name: "CPU",
                    rounds: Vec::new(),
                },
            ],
        };
        let report = Report {
            title: "chat".into(),
            machine: Machine::default(),
            columns: vec![
                column("server", &[30.0, 10.0, 20.0]),
                column("relay", &[40.0]),
            ],
            notes: vec!["a note".into()],
        };
        let table = report.table();
        assert!(
            table.contains("| messages/s | 20.0 (10.0..30.0) | 40.0 (40.0..40.0) | 0.50 |"),
            "{table}"
        );
        assert!(
            table.contains("| CPU | not measured | not measured |"),
            "{table}"
        );
        assert_eq!(percentile(&[1, 2, 3, 4], 0.5), 3.0);
        assert_eq!(percentile(&[], 0.99), 0.0);
    }
}
