//! A real mail server: the distribution's Exim, on loopback, with a spool and a mailbox of its own that go with the test.
//! It asserts nothing about the product.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process_group};

use crate::support::WATCHDOG;
use crate::support::server::pause;

const PROGRAM: &str = "/usr/sbin/exim4";

/// Takes every mail to anybody and puts it into one mailbox.
const CONFIGURATION: &str = r"
spool_directory = DIRECTORY/spool
log_file_path = DIRECTORY/log.%s
pid_file_path = DIRECTORY/pid
primary_hostname = mail.example.com
local_interfaces = 127.0.0.1
daemon_smtp_ports = PORT
tls_advertise_hosts =
host_lookup =
smtp_accept_max = 0
queue_run_max = 2
message_logs = false
acl_smtp_rcpt = accept
acl_smtp_data = accept

begin routers
everybody:
  driver = accept
  transport = mailbox

begin transports
mailbox:
  driver = appendfile
  directory = DIRECTORY/mailbox
  maildir_format
  create_directory
  user = Debian-exim

begin retry
* * F,1h,1s
";

/// The server and all of its children are one process group.
pub(crate) struct Exim {
    directory: tempfile::TempDir,
    pub(crate) port: u16,
    server: Option<Child>,
}

impl Exim {
    /// A running server; none, said aloud, where it can't run, which `CI` does not accept.
    pub(crate) fn start() -> Option<Self> {
        if let Some(reason) = why_not() {
            assert!(std::env::var_os("CI").is_none(), "{reason}");
            eprintln!("SKIPPED: {reason}, so nothing was tested here");
            return None;
        }
        let directory = tempfile::tempdir().expect("a directory");
        // The server takes and delivers mail as another user.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("opened");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        let place = directory.path().to_str().expect("text");
        let configuration = CONFIGURATION.replace("DIRECTORY", place).replace("PORT", &port.to_string());
        fs::write(directory.path().join("configuration"), configuration).expect("written");
        let mut exim = Self { directory, port, server: None };
        drop(free);
        exim.restart();
        Some(exim)
    }

    /// Starts it on what it has, and waits until it greets.
    pub(crate) fn restart(&mut self) {
        let log = File::options().create(true).append(true).open(self.path("output")).expect("a log");
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", PROGRAM, "-C"]).arg(self.path("configuration"));
        // In the foreground; it looks every second for mail that is left in the spool.
        command.args(["-bdf", "-q1s"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.server = Some(command.process_group(0).spawn().expect("Exim starts"));
        let started = Instant::now();
        while !self.greets() {
            assert!(started.elapsed() < WATCHDOG, "Exim does not greet\n{}", self.account());
            pause();
        }
    }

    /// kill -9, for it and all that it has begun.
    pub(crate) fn kill(&mut self) {
        if let Some(mut server) = self.server.take() {
            let group = i32::try_from(server.id()).ok().and_then(Pid::from_raw).expect("a process id");
            let _ = kill_process_group(group, Signal::KILL);
            let _ = server.wait();
        }
    }

    /// How many mails it has taken and not yet delivered. Of one that is delivered it removes the content (`-D`) before
    /// the header (`-H`), and of one that is not yet taken it writes it before; a kill may leave either alone.
    pub(crate) fn queued(&self) -> usize {
        let spool = files(&self.path("spool/input"));
        let headers = spool.iter().filter_map(|file| file.to_str()?.strip_suffix("-H"));
        headers.filter(|message| Path::new(&format!("{message}-D")).exists()).count()
    }

    /// What it says of itself: the ends of its logs, and what lies in its spool.
    pub(crate) fn account(&self) -> String {
        let logs = ["output", "log.main", "log.panic"].map(|file| {
            let log = fs::read_to_string(self.path(file)).unwrap_or_default();
            let lines: Vec<&str> = log.lines().collect();
            lines[lines.len().saturating_sub(20)..].join("\n")
        });
        format!("{}\n{:?}", logs.join("\n"), files(&self.path("spool/input")))
    }

    /// The mails in the mailbox.
    pub(crate) fn delivered(&self) -> Vec<String> {
        let mails = files(&self.path("mailbox/new"));
        mails.iter().map(|mail| fs::read_to_string(mail).expect("readable")).collect()
    }

    fn greets(&self) -> bool {
        let Ok(stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut greeting = String::new();
        BufReader::new(stream).read_line(&mut greeting).is_ok_and(|_| greeting.starts_with("220"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }
}

impl Drop for Exim {
    fn drop(&mut self) {
        self.kill();
    }
}

/// What keeps it from running on this machine.
fn why_not() -> Option<&'static str> {
    let is_root = fs::metadata("/proc/self").expect("this process").uid() == 0;
    match (Path::new(PROGRAM).exists(), is_root) {
        (false, _) => Some("Exim is not installed (apt-get install exim4-daemon-light)"),
        (true, false) => Some("Exim takes a configuration of the test's own from root alone"),
        (true, true) => None,
    }
}

/// None where the server has not come to make the directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().filter_map(Result::ok).map(|file| file.path()).collect()
}
