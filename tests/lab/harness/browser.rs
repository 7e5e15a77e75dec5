//! A headless browser, to see reports as people do.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

/// What a browser saw of a page.
pub(crate) struct Seen {
    /// Plots, and how many of them have no height to speak of.
    pub(crate) plots: u64,
    pub(crate) flat: u64,
    /// Bars with a length, and dots.
    pub(crate) marks: u64,
    /// Words that do not fit into their plot.
    pub(crate) cut: Vec<String>,
    /// Whether the page is wider than its window.
    pub(crate) too_wide: bool,
}

/// Put at the end of a copy of the page: writes what the browser made of it into the page itself.
const LOOK: &str = r#"<script>
const all = (what) => [...document.querySelectorAll(what)];
const cut = all('svg text').filter((text) => {
  const box = text.getBBox(), view = text.ownerSVGElement.viewBox.baseVal;
  return box.x < -1 || box.y < -1 || box.x + box.width > view.width + 1 || box.y + box.height > view.height + 1;
}).map((text) => text.textContent);
const seen = {
  plots: all('svg').length,
  flat: all('svg').filter((plot) => plot.getBoundingClientRect().height < 40).length,
  marks: all('svg .bar, svg .dot').filter((mark) => mark.getBoundingClientRect().width > 0.5).length,
  cut,
  too_wide: document.documentElement.scrollWidth > window.innerWidth,
};
const words = document.createElement('pre');
words.id = 'seen';
words.textContent = JSON.stringify(seen);
document.body.append(words);
</script>"#;

/// Opens a page.
pub(crate) fn open(page: &Path) -> Seen {
    let text = std::fs::read_to_string(page).unwrap();
    let (before, after) = text.rsplit_once("</body>").expect("a page has a body");
    let copy = page.with_extension("seen.html");
    std::fs::write(&copy, format!("{before}{LOOK}</body>{after}")).unwrap();
    let profile = page.with_extension("profile");
    let output = Command::new("timeout")
        .args(["60", "chromium", "--headless", "--disable-gpu"])
        // It refuses to run as root otherwise, and the page is our own.
        .arg("--no-sandbox")
        .arg(format!("--user-data-dir={}", profile.display()))
        .args(["--window-size=1120,2000", "--dump-dom"])
        .arg(format!("file://{}", copy.display()))
        .stdin(Stdio::null())
        .output()
        .expect("chromium runs");
    let dom = String::from_utf8_lossy(&output.stdout);
    let seen = dom.split_once("<pre id=\"seen\">");
    let seen = seen.and_then(|(_, rest)| rest.split_once("</pre>"));
    let Some((seen, _)) = seen else {
        let said = String::from_utf8_lossy(&output.stderr);
        panic!("the browser says nothing: {said}");
    };
    let seen = seen
        .replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&amp;", "&");
    let seen: Value = serde_json::from_str(&seen).unwrap();
    let count = |name: &str| seen[name].as_u64().unwrap();
    let cut = seen["cut"].as_array().unwrap().iter();
    Seen {
        plots: count("plots"),
        flat: count("flat"),
        marks: count("marks"),
        cut: cut
            .map(|words| words.as_str().unwrap().to_owned())
            .collect(),
        too_wide: seen["too_wide"].as_bool().unwrap(),
    }
}
