//! Packages what is deployed: templates, functions, scripts and the job library. A package is a folder with the paths
//! that the templates name. Packing makes the same bytes from the same files.
//!
//! Only this module knows which functions there are, and how to build them.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::rc::Rc;

use anyhow::{Context, bail, ensure};
use landfall_core::routes::Routes;
use sha2::{Digest, Sha256};

use crate::archive::{BINARY, pack};
use crate::args::Color;
use crate::args::deploy::{Architecture, PackageArgs, TemplateName};
use crate::input::read_routes;
use crate::terminal::output::{Output, Printed};
use crate::terminal::printable;
use crate::terminal::progress::say;
use crate::wheel;

const FUNCTIONS: [&str; 6] =
    ["trigger", "monitor", "provisioner", "auditor", "repairer", "reconciler"];
/// The functions that carry the routes.
const WITH_ROUTES: [&str; 3] = ["trigger", "monitor", "reconciler"];
/// Where the templates look for the scripts of example jobs.
const JOBS: &str = "glue/jobs";
const SCRIPT: &str = "glue/jobs/csv_to_parquet.py";
const ROUTES: &str = "routes.yaml";
/// The templates that name files, and the one for further targets.
const TEMPLATES: [&str; 5] = [
    "provisioner.yaml",
    "analytics-account.yaml",
    "data-account.yaml",
    "auditor.yaml",
    "target.yaml",
];

/// How the functions are built.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Build {
    For(Architecture),
    /// For this machine with its own linker: cargo-lambda's linker for other machines is a download of 411 MB.
    Native,
    /// For this machine, not optimised. It shares compiled code with `cargo build --workspace`.
    NativeDebug,
}

/// Builds a package in a folder.
pub fn run(args: &PackageArgs, color: Color) -> Printed {
    let (text, _) = read_routes(&args.routes, Routes::parse_to_deploy, color)?;
    let build = match (args.native, args.debug) {
        (true, true) => Build::NativeDebug,
        (true, false) => Build::Native,
        (false, _) => Build::For(args.architecture),
    };
    lay_out(&args.folder, build, &text)?;
    let folder = shown(&args.folder);
    Ok(Output::done(&format!("deploy the templates in {folder} as docs/deploying.md says\n")))
}

/// The files of a deployment, by the paths that the templates use.
pub struct Package {
    files: BTreeMap<String, Vec<u8>>,
    pub architecture: Architecture,
    /// The artifacts that are already packed, because several stacks need the same ones.
    packed: RefCell<BTreeMap<String, Rc<Artifact>>>,
}

/// A file to upload, under a key that contains the hash of its content.
pub struct Artifact {
    /// The file name at the end of the key.
    pub name: String,
    pub bytes: Vec<u8>,
    hash: String,
}

impl Artifact {
    pub fn new(name: impl Into<String>, bytes: Vec<u8>) -> Self {
        let hash = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        Self { name: name.into(), bytes, hash }
    }

    /// Returns the key below `prefix`, which ends with a slash.
    pub fn key(&self, prefix: &str) -> String {
        format!("{prefix}{}/{}", self.hash, self.name)
    }
}

/// Returns the file name of a template.
pub fn file_of(template: TemplateName) -> &'static str {
    match template {
        TemplateName::Provisioner => "provisioner.yaml",
        TemplateName::Analytics => "analytics-account.yaml",
        TemplateName::Data => "data-account.yaml",
        TemplateName::Auditor => "auditor.yaml",
    }
}

impl Package {
    /// Reads a folder that `make package` made.
    pub fn read(folder: &Path, wanted: Option<Architecture>) -> anyhow::Result<Self> {
        let mut files = BTreeMap::new();
        let mut take = |path: String| -> anyhow::Result<()> {
            let file = folder.join(&path);
            let what = || format!("failed to read `{}`: is the folder a package?", shown(&file));
            files.insert(path, fs::read(&file).with_context(what)?);
            Ok(())
        };
        take(ROUTES.to_owned())?;
        for template in TemplateName::ALL {
            take(file_of(template).to_owned())?;
        }
        for function in FUNCTIONS {
            take(format!("{function}/{BINARY}"))?;
        }
        for function in WITH_ROUTES {
            take(format!("{function}/{ROUTES}"))?;
        }
        take(SCRIPT.to_owned())?;
        take(library())?;
        Self::of(files, wanted)
    }

    /// Builds a package from the checkout that contains the current folder.
    pub fn build(architecture: Architecture, routes: &str) -> anyhow::Result<Self> {
        let folder = checkout()?.join("target/deploy").join(architecture.name());
        lay_out(&folder, Build::For(architecture), routes)?;
        Self::read(&folder, Some(architecture))
    }

    /// Makes a package of `files`, after it has found out which architecture they were built for.
    fn of(files: BTreeMap<String, Vec<u8>>, wanted: Option<Architecture>) -> anyhow::Result<Self> {
        let mut found = None;
        for function in FUNCTIONS {
            let path = format!("{function}/{BINARY}");
            let binary = files.get(&path).map(Vec::as_slice).unwrap_or_default();
            let built = built_for(binary)
                .with_context(|| format!("`{path}` is not a program for arm64 or x86_64"))?;
            let before = *found.get_or_insert(built);
            ensure!(
                before == built,
                "`{path}` was built for {}, but another function for {}",
                built.name(),
                before.name()
            );
        }
        let architecture = found.context("the package has no functions")?;
        if let Some(wanted) = wanted {
            ensure!(
                wanted == architecture,
                "the functions are built for {}, not for {}",
                architecture.name(),
                wanted.name()
            );
        }
        Ok(Self { files, architecture, packed: RefCell::default() })
    }

    /// Puts `routes` into the package and its functions. If they are the packaged routes, the functions have
    /// them already.
    pub fn with_routes(mut self, routes: &str) -> Self {
        if self.files.get(ROUTES).map(Vec::as_slice) == Some(routes.as_bytes()) {
            return self;
        }
        say("the routes differ from those in the package: the functions get these routes too");
        let of_functions = WITH_ROUTES.map(|function| format!("{function}/{ROUTES}"));
        for path in of_functions.into_iter().chain([ROUTES.to_owned()]) {
            self.files.insert(path, routes.into());
        }
        self.packed.borrow_mut().clear();
        self
    }

    /// Returns the text of a template.
    pub fn template(&self, template: TemplateName) -> anyhow::Result<&str> {
        let name = file_of(template);
        let bytes = self.files.get(name).with_context(|| format!("there is no `{name}`"))?;
        std::str::from_utf8(bytes).with_context(|| format!("`{name}` is not UTF-8"))
    }

    /// Returns the job library. Its key ends with the file name, because pip needs it.
    pub fn library(&self) -> anyhow::Result<Rc<Artifact>> {
        self.artifact(&library())
    }

    /// Returns the artifact for a path in a template: a file as it is, a folder packed.
    pub fn artifact(&self, path: &str) -> anyhow::Result<Rc<Artifact>> {
        if let Some(packed) = self.packed.borrow().get(path) {
            return Ok(packed.clone());
        }
        let artifact = Rc::new(self.made(path)?);
        self.packed.borrow_mut().insert(path.to_owned(), artifact.clone());
        Ok(artifact)
    }

    fn made(&self, path: &str) -> anyhow::Result<Artifact> {
        if let Some(bytes) = self.files.get(path) {
            let name = path.rsplit('/').next().unwrap_or(path);
            return Ok(Artifact::new(name, bytes.clone()));
        }
        let folder = path.trim_start_matches("./").trim_end_matches('/');
        let inside = format!("{folder}/");
        let files: Vec<(&str, &[u8])> = self
            .files
            .iter()
            .filter_map(|(path, bytes)| Some((path.strip_prefix(&inside)?, bytes.as_slice())))
            .collect();
        if files.is_empty() {
            bail!("a template names the local path `{path}`, which is not in the package");
        }
        let packed = pack(&files).with_context(|| format!("failed to pack `{folder}`"))?;
        Ok(Artifact::new(format!("{folder}.zip"), packed))
    }
}

/// Builds the functions from the checkout that contains the current folder, and writes the whole package with
/// these routes to `folder`.
fn lay_out(folder: &Path, build: Build, routes: &str) -> anyhow::Result<()> {
    let root = checkout()?;
    let folder = &std::path::absolute(folder).context("failed to find the folder")?;
    compile(&root, folder, build)?;
    let put = |path: &str, mode, bytes: &[u8]| {
        let file = folder.join(path);
        let what = || format!("failed to write `{}`", shown(&file));
        file.parent().map_or(Ok(()), fs::create_dir_all).with_context(what)?;
        fs::write(&file, bytes).and_then(|()| set_mode(&file, mode)).with_context(what)
    };
    let read = |file: PathBuf| {
        fs::read(&file).with_context(|| format!("failed to read `{}`", shown(&file)))
    };
    for function in FUNCTIONS {
        let binary = format!("{function}/{BINARY}");
        set_mode(&folder.join(&binary), 0o755)
            .with_context(|| format!("failed to make `{binary}` executable for everybody"))?;
    }
    put(ROUTES, 0o644, routes.as_bytes())?;
    for function in WITH_ROUTES {
        put(&format!("{function}/{ROUTES}"), 0o644, routes.as_bytes())?;
    }
    for template in TEMPLATES {
        put(template, 0o644, &read(root.join("infra").join(template))?)?;
    }
    for job in fs::read_dir(root.join("python/examples")).context("failed to list the examples")? {
        let job = job.context("failed to list the examples")?.path();
        if job.extension().is_some_and(|extension| extension == "py")
            && let Some(name) = job.file_name()
        {
            put(&format!("{JOBS}/{}", name.to_string_lossy()), 0o644, &read(job.clone())?)?;
        }
    }
    put(&library(), 0o644, &wheel::bytes()?)
}

fn compile(root: &Path, folder: &Path, build: Build) -> anyhow::Result<()> {
    let mut command = Command::new("cargo");
    command.args(["lambda", "build", "--locked", "--lambda-dir"]).arg(folder);
    command.args(FUNCTIONS.iter().flat_map(|function| ["--bin", function]));
    let (what, options): (&str, &[&str]) = match build {
        Build::For(Architecture::Arm64) => ("arm64", &["--release", "--arm64"]),
        Build::For(Architecture::X86_64) => ("x86_64", &["--release", "--x86-64"]),
        Build::Native => ("this machine", &["--release", "--compiler", "cargo"]),
        // Every other debug build also uses the features of the whole workspace.
        Build::NativeDebug => ("this machine", &["--workspace", "--compiler", "cargo"]),
    };
    command.args(options);
    if build != Build::NativeDebug {
        for function in FUNCTIONS {
            command.args(["--package", &format!("landfall-{function}")]);
        }
    }
    say(&format!("building the functions for {what} with cargo-lambda"));
    // Cargo sets these for what it runs, which can be this program. The inner build must not see them.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    // The build prints progress, and standard output is for results.
    command.current_dir(root).stdin(Stdio::null()).stdout(std::io::stderr());
    let status = command.status().context("failed to run `cargo lambda build`")?;
    ensure!(
        status.success(),
        "failed to build the functions: `cargo lambda build` ended with {status} (is cargo-lambda \
         installed? `pip install cargo-lambda` installs it; or pass `landfall deploy` a folder from \
         `make package` with --package)"
    );
    Ok(())
}

/// Sets the mode of a file. Everybody must be able to read it, because Lambda runs as another user.
#[cfg(unix)]
fn set_mode(file: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> std::io::Result<()> {
    Ok(())
}

fn library() -> String {
    format!("glue/{}", wheel::NAME)
}

/// Reads the architecture from an ELF file's header.
fn built_for(binary: &[u8]) -> Option<Architecture> {
    let is_elf = binary.get(..6)? == b"\x7fELF\x02\x01";
    match (is_elf, binary.get(18..20)?) {
        (true, [0x3e, 0]) => Some(Architecture::X86_64),
        (true, [0xb7, 0]) => Some(Architecture::Arm64),
        _ => None,
    }
}

fn checkout() -> anyhow::Result<PathBuf> {
    let here = std::env::current_dir().context("failed to find the current folder")?;
    let is_root = |folder: &&Path| {
        folder.join("Cargo.lock").exists() && folder.join("infra/data-account.yaml").exists()
    };
    here.ancestors().find(is_root).map(Path::to_owned).context(
        "the current folder isn't in a checkout of Landfall to build from: change to one, or pass a \
         folder from `make package` with --package",
    )
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn elf(machine: u8) -> Vec<u8> {
        let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
        bytes.resize(64, 0);
        bytes[18] = machine;
        bytes
    }

    fn package(machine: u8) -> anyhow::Result<Package> {
        let mut files: BTreeMap<String, Vec<u8>> = BTreeMap::new();
        for function in FUNCTIONS {
            files.insert(format!("{function}/{BINARY}"), elf(machine));
        }
        files.insert("trigger/routes.yaml".to_owned(), b"of the trigger".to_vec());
        files.insert(ROUTES.to_owned(), b"packaged".to_vec());
        Package::of(files, None)
    }

    #[test]
    fn the_same_files_make_the_same_bytes_and_other_routes_others() -> anyhow::Result<()> {
        let package = package(0x3e)?;
        let first = package.artifact("trigger/")?;
        assert_eq!(first.bytes, package.artifact("./trigger")?.bytes);
        let package = package.with_routes("packaged");
        assert_eq!(first.hash, package.artifact("trigger/")?.hash, "routes that were packaged");
        let package = package.with_routes("changed");
        assert_ne!(first.hash, package.artifact("trigger/")?.hash);
        assert_eq!(package.artifact(ROUTES)?.bytes, b"changed");
        Ok(())
    }

    #[test]
    fn a_packed_function_can_be_run_by_lambda() -> anyhow::Result<()> {
        let packed = package(0xb7)?.artifact("trigger/")?;
        let mut archive = zip::ZipArchive::new(Cursor::new(packed.bytes.as_slice()))?;
        let names: Vec<String> = archive.file_names().map(str::to_owned).collect();
        assert_eq!(names, ["bootstrap", "routes.yaml"]);
        let mode = |file: zip::read::ZipFile<'_, _>| file.unix_mode().map(|mode| mode & 0o777);
        assert_eq!(mode(archive.by_name("bootstrap")?), Some(0o755));
        assert_eq!(mode(archive.by_name("routes.yaml")?), Some(0o644));
        Ok(())
    }

    #[test]
    fn what_functions_are_built_for_is_read_from_them() -> anyhow::Result<()> {
        assert_eq!(package(0x3e)?.architecture, Architecture::X86_64);
        assert_eq!(package(0xb7)?.architecture, Architecture::Arm64);
        assert!(package(0x28).is_err(), "32 bits are no architecture of Lambda's");
        assert!(Package::of(BTreeMap::new(), None).is_err());
        let files = package(0x3e)?.files;
        assert!(Package::of(files, Some(Architecture::Arm64)).is_err(), "another than is wanted");
        Ok(())
    }

    #[test]
    fn a_path_that_is_nothing_of_the_package_is_an_error() -> anyhow::Result<()> {
        for path in ["elsewhere/", "", "/", "..", "trig"] {
            assert!(package(0x3e)?.artifact(path).is_err(), "`{path}`");
        }
        Ok(())
    }
}
