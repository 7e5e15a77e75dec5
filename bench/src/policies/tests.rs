use super::for_tests::parsed;
use super::*;

#[test]
fn errors_of_options_say_what_to_write() {
    let told = |arguments: &[&str]| parsed(arguments).err().unwrap_or_default();
    assert!(told(&["--at", "1"]).contains("a load is above 0 and below 1"));
    assert!(told(&["--loads", "0.5,x"]).contains("write a number"));
    assert!(
        told(&["--hosts", "2"]).contains("3..=2000"),
        "{}",
        told(&["--hosts", "2"])
    );
    assert!(told(&["--seeds", "1"]).contains("2..=1000"));
    assert!(told(&["--only", "facts,all"]).contains("failing"));
}

#[test]
fn the_load_of_the_oracle_is_in_the_large_table() {
    let options = parsed(&["--loads", "0.9,0.5", "--at", "0.8"]).unwrap();
    assert_eq!(options.grid_loads(), [0.5, 0.8, 0.9]);
    assert_eq!(parsed(&[]).unwrap().grid_loads().len(), 9);
    assert!(parsed(&["--quick"]).unwrap().grid_loads().contains(&0.88));
}

#[test]
fn one_experiment_can_be_made_alone() {
    let arguments = ["--jobs", "1000", "--seeds", "2", "--only", "failing"];
    let options = parsed(&arguments).unwrap();
    let document = compare(&options).unwrap();
    let names: Vec<_> = document.tables.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["failing"]);
    assert!(document.settings.command().ends_with(" --only failing"));
    let known: Vec<_> = sections(&parsed(&[]).unwrap())
        .iter()
        .map(|it| it.name.to_owned())
        .collect();
    assert!(parsed(&["--only", &known.join(",")]).is_ok());
}

#[test]
fn all_figures_are_read_back_as_they_were_written_and_the_page_has_them() {
    let arguments = ["--jobs", "1000", "--seeds", "2", "--loads", "0.5"];
    let options = parsed(&arguments).unwrap();
    let mut sections = sections(&options);
    // The facts need long runs.
    sections.retain(|section| section.name != "facts");
    for section in &mut sections {
        section.lines.truncate(60);
    }
    let seeds = options.all_seeds();
    let tables = measure(&sections, &seeds, 100.0, 2, &|_| {});
    let document = Document {
        settings: Settings::new(&options, seeds),
        missed_facts: vec!["a < b".to_owned()],
        verdict: judge(&tables[0], options.at),
        tables,
    };
    let figures = Figures {
        simulator: Some(document.clone()),
        lab: None,
    };
    let json = figures.json().unwrap();
    let read: Figures = serde_json::from_str(&json).unwrap();
    assert_eq!(read, figures);
    let page = page::page(&figures);
    assert!(page.contains("<svg") && page.contains("a &lt; b") && !page.contains("NaN"));
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    let command = document.settings.command();
    let again: Vec<&str> = command.split(' ').skip(3).collect();
    let options = parsed(&again).unwrap();
    assert_eq!(
        Settings::new(&options, options.all_seeds()),
        document.settings
    );
    let text = Text {
        tables: &document.tables,
        verdict: &document.verdict,
        unit: 100.0,
    };
    assert!(text.to_string().contains("reports/s"));
}
