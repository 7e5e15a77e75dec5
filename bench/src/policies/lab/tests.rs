use super::seen::{End, Seen, Take};
use super::text::LabText;
use super::*;
use crate::policies::document::Figures;
use crate::policies::for_tests::options;
use crate::policies::page;

/// Figures of clients that saw each job done at once by the hosts in turn, but for one of a hundred that broke.
fn figures(arguments: &[&str]) -> LabFigures {
    let options = options(arguments).in_lab();
    let tables = sections(&options).into_iter().map(|section| {
        let rows = section.lines.iter().map(|line| {
            let hosts = line.cluster.hosts.len();
            let arrivals = line.cluster.arrivals().take(1_000).enumerate();
            let seen = arrivals.map(|(number, job)| Seen {
                due: job.at,
                sent: job.at + 0.001,
                ended: job.at + job.work,
                host: Some(number % hosts),
                end: if number % 100 == 0 {
                    End::Broken
                } else {
                    End::Done
                },
            });
            let take = Take {
                seen: seen.collect(),
                rejects: 7,
            };
            let cluster = Cluster {
                warm_up: 100,
                ..line.cluster.clone()
            };
            let shown = || vec![Shown::new(&take.measured(&cluster, 1.0))];
            let runs = Runs {
                measured: shown(),
                simulated: shown(),
                jobs: 900,
                broken: take.broken(),
                late: take.late() * 1_000.0,
                repeated: 1,
            };
            lab_row(line, &runs, 50.0)
        });
        LabTable {
            name: section.name.to_owned(),
            title: section.title.clone(),
            rows: rows.collect(),
        }
    });
    let tables: Vec<LabTable> = tables.collect();
    LabFigures {
        settings: LabSettings::new(&options),
        aims: order::judge(&tables[0]),
        tables,
        words: vec!["timeout: a < b".to_owned()],
    }
}

#[test]
fn figures_are_read_back_as_they_were_written_and_the_page_and_the_text_have_them() {
    let lab = figures(&["--in", "lab"]);
    assert_eq!(lab.broken(), 71 * 10);
    let figures = Figures {
        simulator: None,
        lab: Some(lab.clone()),
    };
    let json = figures.json().unwrap();
    let read: Figures = serde_json::from_str(&json).unwrap();
    assert_eq!(read, figures);
    let page = page::page(&figures);
    assert!(page.contains("a &lt; b") && !page.contains("NaN") && !page.contains("a < b"));
    // Three by load, two of shares, two of what a failing host drew.
    assert_eq!(page.matches("<svg").count(), 7);
    assert_eq!(page.matches("</svg>").count(), 7);
    let text = LabText(&lab).to_string();
    assert!(text.contains("710 jobs failed that should not have:\n  timeout: a < b"));
    assert!(text.contains("MISSED") && text.contains("one fails at once, nobody notices"));
}

#[test]
fn the_command_of_the_page_asks_for_the_same() {
    let asked = [
        "--quick",
        "--lab-part",
        "hosts",
        "--lab-part",
        "order",
        "--loads",
        "0.5,0.9",
        "--serving",
        "queue",
        "--lab-seconds",
        "2",
    ];
    for arguments in [&asked[..], &[]] {
        let settings = LabSettings::new(&options(arguments).in_lab());
        let command = settings.command();
        let again: Vec<&str> = command.split(' ').skip(3).collect();
        assert_eq!(LabSettings::new(&options(&again).in_lab()), settings);
    }
}
