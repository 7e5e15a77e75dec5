//! Captures: tcpdump writes them, tshark or the test reads them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Background, Lab, Namespace};

/// So many bytes are a packet's headers.
const HEADERS: u32 = 256;

/// A tcpdump that runs.
pub(crate) struct Capture {
    process: Background,
    stderr: BufReader<std::process::ChildStderr>,
    file: PathBuf,
}

impl Capture {
    /// Starts one; it sees what comes after. `bytes` of each packet are kept.
    pub(crate) fn start(
        lab: &Lab,
        place: &Namespace,
        device: &str,
        filter: &str,
        bytes: u32,
    ) -> Self {
        let name = format!(
            "{}.pcap",
            filter.replace(|c: char| !c.is_alphanumeric(), "-")
        );
        let file = (0..)
            .map(|n| lab.directory().join(format!("{n}-{name}")))
            .find(|path| !path.exists())
            .unwrap();
        // Without it what came in the last second may still be in the kernel at the end. With it each packet takes the room
        // of the largest, so that there is none for bursts of whole ones.
        let immediate = (bytes <= HEADERS).then_some("--immediate-mode");
        let mut child = place
            .command("tcpdump")
            // -Z: it would give up root and with it the lab's directory. -B: KiB.
            .args(["-n", "-U", "-Z", "root", "-B", "65536", "-i", device])
            .args(immediate)
            .args([
                "-s",
                &bytes.to_string(),
                "-w",
                file.to_str().unwrap(),
                filter,
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let process = Background(child);
        let mut said = String::new();
        while !said.contains("listening on") {
            let read = stderr.read_line(&mut said).unwrap();
            assert!(read > 0, "tcpdump ended: {said}");
        }
        Self {
            process,
            stderr,
            file,
        }
    }

    /// Ends it, makes sure that it missed nothing, and returns the file.
    pub(crate) fn stop(mut self) -> PathBuf {
        // The packets of the last moments are on their way through its ring.
        std::thread::sleep(Duration::from_millis(300));
        self.process.interrupt();
        let mut said = String::new();
        std::io::Read::read_to_string(&mut self.stderr, &mut said).unwrap();
        assert!(
            said.contains("0 packets dropped by kernel"),
            "the capture has holes: {said}"
        );
        self.file
    }
}

/// What tshark prints of a capture.
pub(crate) fn tshark(file: &Path, arguments: &[&str]) -> String {
    let output = Command::new("tshark")
        .args(["-n", "-r"])
        .arg(file)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "tshark {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A packet of a capture.
pub(crate) struct Frame {
    /// Since 1970.
    pub(crate) time: Duration,
    /// Bytes that it had on the wire.
    pub(crate) length: u32,
    /// Bytes that were kept.
    pub(crate) bytes: Vec<u8>,
}

/// Reads a capture (microseconds, in this machine's byte order, as tcpdump writes here).
pub(crate) fn read_pcap(file: &Path) -> Vec<Frame> {
    let bytes = std::fs::read(file).unwrap();
    let word = |at: usize| u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap());
    assert_eq!(
        word(0),
        0xa1b2_c3d4,
        "{} is another kind of capture",
        file.display()
    );
    let mut frames = Vec::new();
    let mut at = 24;
    while at + 16 <= bytes.len() {
        let [seconds, micros, kept, length] = [0, 4, 8, 12].map(|offset| word(at + offset));
        let time = Duration::from_secs(seconds.into()) + Duration::from_micros(micros.into());
        let end = at + 16 + kept as usize;
        frames.push(Frame {
            time,
            length,
            bytes: bytes[at + 16..end].to_vec(),
        });
        at = end;
    }
    frames
}
