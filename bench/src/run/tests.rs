use super::*;
use crate::plan::Plan;
use crate::process_id::ProcessId;

fn lab(id: &str, kept: bool) -> State {
    State {
        id: id.into(),
        owner: ProcessId { pid: 1, started: 1 },
        kept,
        directory: Plan::directory_of(id),
        programs: Vec::new(),
        processes: Vec::new(),
    }
}

fn ids(labs: &[State], id: Option<&str>, all: bool) -> std::result::Result<Vec<String>, String> {
    match chosen(labs, id, all) {
        Ok(chosen) => Ok(chosen.iter().map(|state| state.id.clone()).collect()),
        Err(error) => Err(error.to_string()),
    }
}

#[test]
fn the_only_kept_lab_needs_no_name() {
    let labs = [lab("aaaa", false), lab("bbbb", true)];
    assert_eq!(ids(&labs, None, false), Ok(vec!["bbbb".into()]));
    assert_eq!(ids(&labs, None, true), Ok(vec!["bbbb".into()]));
    assert_eq!(ids(&[], None, false), Ok(vec![]));
}

#[test]
fn several_need_a_name_or_all() {
    let labs = [lab("aaaa", true), lab("bbbb", true)];
    assert!(ids(&labs, None, false).unwrap_err().contains("aaaa, bbbb"));
    assert_eq!(ids(&labs, None, true).unwrap().len(), 2);
    assert_eq!(ids(&labs, Some("bbbb"), false), Ok(vec!["bbbb".into()]));
}

#[test]
fn a_running_or_unknown_lab_is_not_taken_down() {
    let labs = [lab("aaaa", false)];
    assert!(
        ids(&labs, Some("aaaa"), false)
            .unwrap_err()
            .contains("is running")
    );
    assert!(
        ids(&labs, Some("cccc"), false)
            .unwrap_err()
            .contains("no lab cccc")
    );
}
