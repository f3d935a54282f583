//! A PostgreSQL of the test's own: a private cluster of the distribution's server, on loopback, gone with the test.
//! It asserts nothing about the product, and needs nothing of the other support, since crates of the host use it too.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// The tables that `prisma migrate` makes for orders, items and a log of mails.
pub(crate) const PRISMA: &str = r#"
CREATE TYPE "OrderStatus" AS ENUM ('PENDING', 'PAID', 'FULFILLED', 'REFUNDED', 'CANCELLED');
CREATE TABLE "Order" (
    "id" TEXT NOT NULL,
    "status" "OrderStatus" NOT NULL DEFAULT 'PENDING',
    "customerEmail" TEXT NOT NULL,
    "customerName" TEXT,
    "total" INTEGER NOT NULL,
    "currency" TEXT NOT NULL DEFAULT 'EUR',
    "createdAt" TIMESTAMP(3) NOT NULL DEFAULT CURRENT_TIMESTAMP,
    "updatedAt" TIMESTAMP(3) NOT NULL,
    "fulfilledAt" TIMESTAMP(3),
    "refundedAt" TIMESTAMP(3),
    "metadata" JSONB NOT NULL DEFAULT '{}',
    CONSTRAINT "Order_pkey" PRIMARY KEY ("id")
);
CREATE TABLE "OrderItem" (
    "id" TEXT NOT NULL,
    "orderId" TEXT NOT NULL,
    "sku" TEXT NOT NULL,
    "name" TEXT NOT NULL,
    "quantity" INTEGER NOT NULL,
    "unitPrice" INTEGER NOT NULL,
    CONSTRAINT "OrderItem_pkey" PRIMARY KEY ("id"),
    CONSTRAINT "OrderItem_orderId_fkey" FOREIGN KEY ("orderId") REFERENCES "Order" ("id") ON DELETE RESTRICT ON UPDATE CASCADE
);
CREATE TABLE "EmailLog" (
    "id" TEXT NOT NULL,
    "runId" TEXT NOT NULL,
    "jobId" TEXT NOT NULL,
    "kind" TEXT NOT NULL,
    "to" TEXT NOT NULL,
    "subject" TEXT NOT NULL,
    "status" TEXT NOT NULL,
    "messageId" TEXT NOT NULL,
    "error" TEXT,
    "attempts" INTEGER NOT NULL,
    "createdAt" TIMESTAMP(3) NOT NULL,
    "sentAt" TIMESTAMP(3),
    CONSTRAINT "EmailLog_pkey" PRIMARY KEY ("id")
);
CREATE INDEX "EmailLog_status_idx" ON "EmailLog" ("status");
"#;

/// A server that takes longer to start or stop hangs.
const PATIENCE: Duration = Duration::from_mins(1);

/// A cluster with one database, `shop`, whose superuser is `shop`.
pub(crate) struct Cluster {
    directory: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    server: Option<Child>,
}

impl Cluster {
    /// A server with an empty database; none, said aloud, on a machine without PostgreSQL, which `CI` does not accept.
    pub(crate) fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL is not installed: apt-get install postgresql");
            eprintln!("SKIPPED: PostgreSQL is not installed (apt-get install postgresql), so nothing was tested here");
            return None;
        };
        let directory = tempfile::tempdir().expect("a directory");
        // The server runs as another user when the tests run as root.
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o777)).expect("opened");
        let free = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let mut cluster = Self { directory, programs, port, server: None };
        let made = cluster
            .program("initdb", ["--no-sync", "--auth=trust", "--username=shop", "--encoding=UTF8", "--locale=C", "-D"])
            .arg(cluster.data())
            .output()
            .expect("initdb starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        cluster.restart();
        cluster.sql_in("postgres", "CREATE DATABASE shop");
        Some(cluster)
    }

    /// The database as a client names it.
    pub(crate) fn url(&self) -> String {
        format!("postgresql://shop@127.0.0.1:{}/shop", self.port)
    }

    /// Starts the server again on the same data and waits until it answers.
    pub(crate) fn restart(&mut self) {
        let log = fs::File::options().create(true).append(true).open(self.log()).expect("a log");
        let mut server =
            self.program("postgres", ["-F", "-c", "listen_addresses=127.0.0.1", "-c", "timezone=Asia/Tokyo"]);
        server.args(["-p", &self.port.to_string(), "-D"]).arg(self.data());
        server.arg("-k").arg(self.directory.path()).stdout(Stdio::null()).stderr(log);
        self.server = Some(server.spawn().expect("postgres starts"));
        let started = Instant::now();
        while self.psql("postgres", "SELECT 1").is_err() {
            assert!(started.elapsed() < PATIENCE, "{}", fs::read_to_string(self.log()).unwrap_or_default());
            std::thread::park_timeout(Duration::from_millis(20));
        }
    }

    /// Stops the server; connections are cut off.
    pub(crate) fn stop(&mut self) {
        if let Some(mut server) = self.server.take() {
            let asked =
                self.program("pg_ctl", ["stop", "--mode=immediate", "--no-wait", "-D"]).arg(self.data()).output();
            if !asked.is_ok_and(|asked| asked.status.success()) {
                let _ = server.kill();
            }
            let _ = server.wait();
        }
    }

    /// Does something in the database `shop`; what it answers, a row a line, cells apart by `|`.
    pub(crate) fn sql(&self, sql: &str) -> Vec<String> {
        self.sql_in("shop", sql)
    }

    /// Begins a transaction with this statement, and leaves it open until the answer is dropped.
    pub(crate) fn begin(&self, sql: &str) -> OpenTransaction {
        let mut command = Command::new(self.programs.join("psql"));
        command.args(["--no-psqlrc", "--quiet", "-d", &self.url()]);
        let mut client = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("psql starts");
        let mut input = client.stdin.take().expect("piped");
        writeln!(input, "BEGIN; {sql};").expect("written");
        OpenTransaction { client, input: Some(input) }
    }

    /// Starts the server again with a certificate of its own for 127.0.0.1; answers with that certificate.
    pub(crate) fn with_tls(&mut self) -> PathBuf {
        self.stop();
        let (certificate, key) = (self.directory.path().join("server.crt"), self.directory.path().join("server.key"));
        let made = self
            .program("openssl", ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=shop", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"])
            .arg(&certificate)
            .arg("-keyout")
            .arg(&key)
            .output()
            .expect("openssl starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let settings =
            format!("ssl = on\nssl_cert_file = '{}'\nssl_key_file = '{}'\n", certificate.display(), key.display());
        let mut configuration =
            fs::File::options().append(true).open(self.data().join("postgresql.conf")).expect("opened");
        configuration.write_all(settings.as_bytes()).expect("written");
        self.restart();
        certificate
    }

    fn sql_in(&self, database: &str, sql: &str) -> Vec<String> {
        let answer = self.psql(database, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        answer.lines().map(str::to_owned).collect()
    }

    fn psql(&self, database: &str, sql: &str) -> Result<String, String> {
        let port = self.port.to_string();
        let connection = ["-h", "127.0.0.1", "-p", &port, "-U", "shop", "-d", database];
        let how = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", "--command", sql];
        let answer = Command::new(self.programs.join("psql")).args(connection).args(how).output().expect("psql starts");
        if !answer.status.success() {
            return Err(String::from_utf8_lossy(&answer.stderr).into_owned());
        }
        Ok(String::from_utf8(answer.stdout).expect("text"))
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    /// A program of the distribution's PostgreSQL, which refuses to run as root. It ends with this thread, whatever
    /// ends that.
    fn program<S: AsRef<OsStr>>(&self, name: &str, arguments: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new("setpriv");
        if is_root() {
            command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]);
        }
        let own = self.programs.join(name);
        command.args(["--pdeathsig", "KILL", "--"]).arg(if own.exists() { own } else { name.into() }).args(arguments);
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }
}

/// A transaction of another client.
pub(crate) struct OpenTransaction {
    client: Child,
    input: Option<std::process::ChildStdin>,
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        // At the end of its input the client leaves, and the server takes back what it began.
        drop(self.input.take());
        let _ = self.client.wait();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

fn is_root() -> bool {
    let of_us = fs::metadata("/proc/self").expect("this process");
    std::os::unix::fs::MetadataExt::uid(&of_us) == 0
}

/// Where the newest server's programs are.
fn programs() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let installed = versions.filter_map(Result::ok).map(|version| version.path().join("bin"));
    let has_server = |programs: &PathBuf| programs.join("initdb").exists() && programs.join("psql").exists();
    installed.filter(has_server).max_by_key(|programs| version_of(programs))
}

fn version_of(programs: &Path) -> u32 {
    let version = programs.parent().and_then(Path::file_name).and_then(OsStr::to_str);
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}
