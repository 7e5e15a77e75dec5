//! A walk as one HTML file that needs nothing else, with a button for the next step and one for the
//! step before.

use crate::walk::{Station, Walk};

const STYLE: &str = "body{font:15px/1.4 system-ui,sans-serif;margin:1.5em;color:#222}\
button{font:inherit;padding:.3em 1em;margin-right:.5em}\
h1{font-size:1.2em}h2{font-size:1.05em;margin:.8em 0 .3em}\
.wrong{color:#b00;font-weight:bold}\
.nodes{display:grid;grid-template-columns:repeat(auto-fill,minmax(22em,1fr));gap:.6em}\
.node{border:1px solid #bbb;border-radius:4px;padding:.4em .6em}\
.changed{border-color:#d80;box-shadow:0 0 0 1px #d80}\
.node b{display:block}\
pre{font-size:12px;white-space:pre-wrap;overflow-wrap:anywhere;margin:.2em 0}\
.new{background:#fe9}\
section{display:none}section.shown{display:block}";

const SCRIPT: &str = "let at=0;const all=document.querySelectorAll('section');\
function show(n){at=Math.max(0,Math.min(all.length-1,n));\
all.forEach((s,i)=>s.classList.toggle('shown',i===at));\
document.getElementById('at').textContent=at+' of '+(all.length-1)}\
document.getElementById('previous').onclick=()=>show(at-1);\
document.getElementById('next').onclick=()=>show(at+1);\
document.getElementById('last').onclick=()=>show(all.length-1);\
document.onkeydown=e=>{if(e.key==='ArrowRight')show(at+1);if(e.key==='ArrowLeft')show(at-1)};\
show(0)";

impl Walk {
    /// The walk as a page.
    #[must_use]
    pub fn html(&self) -> String {
        let mut page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><title>JLB: a counterexample</title>\
             <style>{STYLE}</style>\n<h1 class=wrong>{}</h1>\n\
             <p><button id=previous>&larr; previous</button><button id=next>next &rarr;</button>\
             <button id=last>the end</button>step <span id=at></span>; the arrow keys do it \
             too</p>\n",
            escaped(&self.wrong)
        );
        let mut before = None;
        let last = self.stations.len().saturating_sub(1);
        for (number, station) in self.stations.iter().enumerate() {
            page += &section(station, before);
            if number == last {
                page += &format!("<p class=wrong>{}</p>", escaped(&self.wrong));
            }
            page += "</section>\n";
            before = Some(station);
        }
        page += &format!("<script>{SCRIPT}</script></html>\n");
        page
    }
}

/// A station, its element left open.
fn section(station: &Station, before: Option<&Station>) -> String {
    let mut html = format!("<section><h2>{}</h2>", escaped(&station.action));
    html += "<p>Under way:</p><pre>";
    for letter in &station.under_way {
        html += &line(letter, station.sent.contains(letter));
    }
    html += "</pre><div class=nodes>";
    for (at, (name, lines)) in station.states.iter().enumerate() {
        let old = before.and_then(|before| before.states.get(at));
        let old = old.map_or(lines, |(_, old)| old);
        let class = if old == lines { "node" } else { "node changed" };
        html += &format!("<div class='{class}'><b>{}</b><pre>", escaped(name));
        for text in lines {
            html += &line(text, !old.contains(text));
        }
        html += "</pre></div>";
    }
    html += "</div>";
    html
}

fn line(text: &str, is_new: bool) -> String {
    let text = escaped(text);
    if is_new {
        format!("<span class=new>{text}</span>\n")
    } else {
        format!("{text}\n")
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests;
