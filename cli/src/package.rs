//! A package: what is deployed, as a folder with the paths that the templates name. It has templates, functions,
//! scripts and the job library. Packing makes the same bytes from the same files.
//!
//! [`build`] makes a package from a checkout, and [`release`] reads those of a release. Only this module and `build`
//! know which functions there are.

mod build;
mod release;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::{Context, anyhow, bail, ensure};
use landfall_core::routes::{Routes, packaged};
use sha2::{Digest, Sha256};

use self::build::Build;
use crate::archive::{BINARY, pack};
use crate::args::Color;
use crate::args::deploy::{Architecture, PackageArgs, TemplateName};
use crate::input::read_routes;
use crate::terminal::output::{Output, Printed};
use crate::terminal::printable;
use crate::terminal::progress::say;
use crate::version::OWN;
use crate::wheel;

const FUNCTIONS: [&str; 6] =
    ["trigger", "monitor", "provisioner", "auditor", "repairer", "reconciler"];
/// The functions that carry the routes.
const WITH_ROUTES: [&str; 3] = ["trigger", "monitor", "reconciler"];
const SCRIPT: &str = "glue/jobs/csv_to_parquet.py";
const ROUTES: &str = "routes.yaml";
/// What the functions read instead, if it fits the routes beside it.
const PACKAGED: &str = "routes.packaged";

/// Where a package comes from.
enum Source {
    /// A package, or the packages of a release.
    Folder(PathBuf),
    /// It is built from this checkout.
    Checkout(PathBuf),
}

/// Writes a package to a folder.
pub fn run(args: &PackageArgs, color: Color) -> Printed {
    let (text, _) = read_routes(&args.routes, Routes::parse_to_deploy, color)?;
    let architecture = args.architecture.unwrap_or(Architecture::Arm64);
    let build = match (args.native, args.debug) {
        (true, true) => Build::NativeDebug,
        (true, false) => Build::Native,
        (false, _) => Build::For(architecture),
    };
    match Source::find(args.package.as_deref())? {
        Source::Checkout(root) => build::lay_out(&root, &args.folder, build)?,
        Source::Folder(_) if args.native => {
            return Err(anyhow!("--native builds, so run it in a checkout of Landfall").into());
        }
        Source::Folder(folder) => {
            release::read(&folder, args.architecture)?.write(&args.folder)?;
        }
    }
    for (path, bytes) in routes(&text) {
        match bytes {
            Some(bytes) => put(&args.folder, &path, &bytes)?,
            None => remove(&args.folder.join(path))?,
        }
    }
    if args.zip {
        Package::of(files(&args.folder)?, None)?.write_archives(&args.folder)?;
    }
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
        Self { name: name.into(), hash: sha256(&bytes), bytes }
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

impl Source {
    /// Returns the folder that the user gave; else the checkout that contains the current folder; else the packages
    /// that were installed with this program.
    fn find(given: Option<&Path>) -> anyhow::Result<Self> {
        if let Some(folder) = given {
            return Ok(Self::Folder(folder.to_owned()));
        }
        match build::checkout()? {
            Some(root) => Ok(Self::Checkout(root)),
            None => Ok(Self::Folder(release::installed()?)),
        }
    }
}

impl Package {
    /// Returns the package to deploy, with these routes. Says where it comes from.
    pub fn find(
        given: Option<&Path>,
        wanted: Option<Architecture>,
        routes: &str,
    ) -> anyhow::Result<Self> {
        let folder = match Source::find(given)? {
            Source::Folder(folder) => folder,
            Source::Checkout(root) => {
                let architecture = wanted.unwrap_or(Architecture::Arm64);
                let folder = root.join("target/deploy").join(architecture.name());
                build::lay_out(&root, &folder, Build::For(architecture))?;
                folder
            }
        };
        Ok(Self::open(&folder, wanted)?.with_routes(routes))
    }

    /// Reads a folder that has a package, or the packages of a release, and says what it is.
    fn open(folder: &Path, wanted: Option<Architecture>) -> anyhow::Result<Self> {
        if release::is_in(folder) {
            return release::read(folder, wanted);
        }
        let package = Self::of(files(folder)?, wanted)?;
        let built_for = package.architecture.name();
        say(&format!("using the package in `{}`, built for {built_for}", shown(folder)));
        Ok(package)
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

    /// Puts `text` into the package and its functions. If they are the package's own routes, the functions have them
    /// already.
    fn with_routes(mut self, text: &str) -> Self {
        if self.files.get(ROUTES).map(Vec::as_slice) == Some(text.as_bytes()) {
            return self;
        }
        for (path, bytes) in routes(text) {
            match bytes {
                Some(bytes) => self.files.insert(path, bytes),
                None => self.files.remove(&path),
            };
        }
        self.packed.borrow_mut().clear();
        self
    }

    fn write(&self, folder: &Path) -> anyhow::Result<()> {
        self.files.iter().try_for_each(|(path, bytes)| put(folder, path, bytes))
    }

    /// Writes each function as an archive, as Lambda takes it.
    fn write_archives(&self, folder: &Path) -> anyhow::Result<()> {
        FUNCTIONS.iter().try_for_each(|function| {
            let packed = self.artifact(function)?;
            put(folder, &packed.name, &packed.bytes)
        })
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

/// Returns the files of a package that follow from the routes, with their paths. What has no content must not be there.
fn routes(text: &str) -> Vec<(String, Option<Vec<u8>>)> {
    let packaged = packaged::package(text);
    let of_function = |function| {
        let (text, packaged) = (Some(text.into()), packaged.clone());
        [(format!("{function}/{ROUTES}"), text), (format!("{function}/{PACKAGED}"), packaged)]
    };
    let own = [(ROUTES.to_owned(), Some(text.into()))];
    WITH_ROUTES.into_iter().flat_map(of_function).chain(own).collect()
}

/// Reads the files of a package from a folder. It may have no routes, because whoever deploys brings them.
fn files(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let templates = TemplateName::ALL.map(|template| file_of(template).to_owned());
    let functions = FUNCTIONS.map(|function| format!("{function}/{BINARY}"));
    let needed = templates.into_iter().chain(functions).chain([SCRIPT.to_owned(), library()]);
    let of_functions = [ROUTES, PACKAGED]
        .into_iter()
        .flat_map(|name| WITH_ROUTES.map(|function| format!("{function}/{name}")));
    let routes = of_functions.chain([ROUTES.to_owned()]);
    let mut files = BTreeMap::new();
    for path in needed.chain(routes.filter(|path| folder.join(path).exists())) {
        let bytes = read(&folder.join(&path));
        let what = || format!("is `{}` a package of version {OWN}?", shown(folder));
        files.insert(path, bytes.with_context(what)?);
    }
    Ok(files)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    fs::read(file).with_context(|| format!("failed to read `{}`", shown(file)))
}

/// Writes a file of a package. Everybody may read it, and run it if it is a program, because Lambda runs as another
/// user.
fn put(folder: &Path, path: &str, bytes: &[u8]) -> anyhow::Result<()> {
    let file = folder.join(path);
    let mode = if path.ends_with(BINARY) { 0o755 } else { 0o644 };
    let what = || format!("failed to write `{}`", shown(&file));
    file.parent().map_or(Ok(()), fs::create_dir_all).with_context(what)?;
    fs::write(&file, bytes).and_then(|()| set_mode(&file, mode)).with_context(what)
}

/// Removes a file, if it is there.
fn remove(file: &Path) -> anyhow::Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("failed to remove `{}`", shown(file)))
        }
        _ => Ok(()),
    }
}

#[cfg(unix)]
fn set_mode(file: &Path, mode: u32) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(file, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> std::io::Result<()> {
    Ok(())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
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
    fn functions_get_their_routes_resolved_too_unless_they_hold_a_secret() -> anyhow::Result<()> {
        let text = |external_id: &str| {
            format!(
                "version: 1\ntargets:\n  t: {{ account: \"222222222222\", region: eu-west-1, starter_role: s, \
                 external_id: \"{external_id}\" }}\nroutes:\n  - {{ name: r, bucket: acme, key: \"a/*\", start: \
                 {{ target: t, job: j }} }}\n"
            )
        };
        let plain = text("${EXTERNAL_ID}");
        let package = package(0x3e)?.with_routes(&plain);
        for function in WITH_ROUTES {
            assert_eq!(package.files[&format!("{function}/{ROUTES}")], plain.as_bytes());
            let file = package.files[&format!("{function}/{PACKAGED}")].clone();
            assert!(packaged::unpackage(file, plain.as_bytes()).is_ok(), "{function}");
        }
        let secret = package.with_routes(&text("it-is-3f2a91c07b55d8e6"));
        assert!(!secret.files.keys().any(|path| path.ends_with(PACKAGED)));
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
    fn archives_are_what_deploy_would_upload() -> anyhow::Result<()> {
        let (package, folder) = (package(0xb7)?, tempfile::tempdir()?);
        package.write_archives(folder.path())?;
        for function in FUNCTIONS {
            let written = fs::read(folder.path().join(format!("{function}.zip")))?;
            assert_eq!(written, package.artifact(function)?.bytes, "{function}");
        }
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
