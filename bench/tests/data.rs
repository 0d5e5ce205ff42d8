//! Data sets of every layout, made here, and the real ones where `AFFERENT_DATA` is set.

#![allow(clippy::unwrap_used)]

use afferent_bench::data::{self, DataSet, Options};
use afferent_codec::{Container, SampleEncoder, Settings};
use afferent_media::manifest::Manifest;
use afferent_media::{Code, Error, Image, PixelFormat, Result, Sample};
use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

/// A folder to lay files out in.
struct Tree(TempDir);

impl Tree {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Writes pictures, no two alike, in the format that the extension says.
    fn pictures(&self, names: &[&str]) -> &Self {
        for name in names {
            let seed = name.bytes().fold(7_u8, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte));
            self.write(name, picture(name, seed));
        }
        self
    }

    /// Writes a mask of 16x8 pixels of one class.
    fn mask(&self, name: &str, class: u8) -> &Self {
        self.write(name, file(name, grey(16, 8, class), 75.0));
        self
    }

    fn open(&self, kind: Option<&str>) -> Result<DataSet> {
        data::open(kind, self.path(), &Options::default())
    }

    fn split(&self, split: &str) -> Result<DataSet> {
        data::open(None, self.path(), &Options { split: Some(split.into()), ..Options::default() })
    }
}

fn grey(width: u32, height: u32, value: u8) -> Image {
    Image::new(width, height, PixelFormat::Gray8, vec![value; (width * height) as usize]).unwrap()
}

/// A picture of 16x8 pixels.
fn picture(name: &str, seed: u8) -> Vec<u8> {
    let data = (0..16 * 8 * 3_u32).map(|at| (at as u8).wrapping_mul(seed | 1)).collect();
    file(name, Image::new(16, 8, PixelFormat::Rgb8, data).unwrap(), 90.0)
}

/// An image file as our codec of that format writes it.
fn file(name: &str, image: Image, quality: f32) -> Vec<u8> {
    let registry = afferent_codec_conventional::registry();
    let png = name.ends_with("png");
    let codec = registry.get(if png { "png" } else { "jpeg" }).unwrap();
    let settings = Settings { knob: (!png).then_some(quality), ..Settings::default() };
    let mut container = Vec::new();
    SampleEncoder::new(codec.as_ref(), &settings).unwrap().encode(&Sample::Image(image), &mut container).unwrap();
    Container::parse(&container).unwrap().chunks[0].bytes.to_vec()
}

/// Id, label number, label, split and group of each sample.
type Line<'a> = (&'a str, Option<u32>, Option<&'a str>, Option<&'a str>, Option<&'a str>);

fn lines(set: &DataSet) -> Vec<Line<'_>> {
    let entries = set.manifest.entries().iter();
    entries.map(|e| (&*e.id, e.label_index, e.label.as_deref(), e.split.as_deref(), e.group.as_deref())).collect()
}

fn refused(result: Result<DataSet>, code: Code, what: &str) -> Error {
    let error = result.err().unwrap();
    assert_eq!(error.code(), code, "{error}");
    assert!(error.to_string().contains(what), "{error}");
    assert!(!error.remedy().is_empty());
    error
}

#[test]
fn a_folder_states_what_its_files_are() {
    let tree = Tree::new();
    tree.pictures(&["b.png", "in/a.jpg", "in/c.JPEG"]);
    tree.write("in/d.jpg", file("d.jpg", grey(40, 30, 9), 50.0));
    tree.write("notes.txt", "");
    tree.write(".hidden.png", "");
    let set = tree.open(Some("folder")).unwrap();
    let facts: Vec<_> = set
        .manifest
        .entries()
        .iter()
        .map(|e| (&*e.id, e.format.as_deref().unwrap(), e.width, e.height, e.quality, e.chroma.as_deref()))
        .collect();
    assert_eq!(
        facts,
        [
            ("b.png", "png", Some(16), Some(8), None, None),
            ("in/a.jpg", "jpeg", Some(16), Some(8), Some(90), Some("4:2:0")),
            ("in/c.JPEG", "jpeg", Some(16), Some(8), Some(90), Some("4:2:0")),
            ("in/d.jpg", "jpeg", Some(40), Some(30), Some(50), Some("grey")),
        ]
    );
    let first = &set.manifest.entries()[0];
    let bytes = std::fs::read(tree.path().join("b.png")).unwrap();
    assert_eq!(first.sha256, Some(afferent_models::Sha256::of(&bytes).to_string()));
    assert_eq!(first.bytes, Some(bytes.len() as u64));
    assert_eq!((set.report.good, set.report.bad.len(), set.report.duplicates), (4, 0, 0));
    assert_eq!(set.report.ignored, [("txt".to_owned(), 1)].into());
    assert_eq!(set.report.quality.unwrap().median, 90);
    assert!(set.report.render().contains("JPEG quality"));
}

#[test]
fn what_cannot_be_read_is_named_and_left_out() {
    use std::os::unix::ffi::OsStrExt;
    let tree = Tree::new();
    tree.pictures(&["a.png", "b.jpg", "copy/a.png"]);
    tree.write("copy/a.png", std::fs::read(tree.path().join("a.png")).unwrap());
    let whole = picture("cut.jpg", 3);
    tree.write("cut.jpg", &whole[..whole.len() / 2]);
    tree.write("empty.png", "");
    tree.write("text.webp", "no picture");
    let foreign = tree.path().join(std::ffi::OsStr::from_bytes(b"n\xff.png"));
    std::fs::write(foreign, picture("n.png", 5)).unwrap();
    let set = tree.open(Some("folder")).unwrap();
    assert_eq!((set.report.good, set.report.duplicates), (3, 1));
    let bad: Vec<_> = set.report.bad.iter().map(|bad| bad.id.as_str()).collect();
    assert_eq!(bad, ["n\u{FFFD}.png", "cut.jpg", "empty.png", "text.webp"]);
    assert!(set.report.bad.iter().all(|bad| !bad.reason.is_empty()));
    assert!(set.report.render().contains("cut.jpg"));

    let all_bad = Tree::new();
    all_bad.write("a.png", "no picture");
    refused(all_bad.open(None), Code::Corrupt, "none of 1 samples");
}

#[test]
fn the_digest_is_of_contents_not_of_places() {
    let (one, other) = (Tree::new(), Tree::new());
    one.pictures(&["x.png", "y.png"]);
    other.pictures(&["y.png", "x.png"]);
    let digest = |tree: &Tree| tree.open(None).unwrap().sha256;
    assert_eq!(digest(&one), digest(&other));
    other.write("x.png", picture("x.png", 1));
    assert_ne!(digest(&one), digest(&other));
    one.write("manifest.csv", "id,file,label\n1,x.png,cat\n2,y.png,dog\n");
    let labelled = digest(&one);
    one.write("manifest.csv", "id,file,label\n2,y.png,dog\n1,x.png,cat\n");
    assert_eq!(digest(&one), labelled);
    one.write("manifest.csv", "id,file,label\n1,x.png,dog\n2,y.png,dog\n");
    assert_ne!(digest(&one), labelled);
}

#[test]
fn subfolders_are_classes() {
    let tree = Tree::new();
    tree.pictures(&["dog/1.png", "cat/2.png", "cat/1.png"]);
    let set = tree.open(None).unwrap();
    assert_eq!(set.kind, "classes");
    assert_eq!(
        lines(&set),
        [
            ("cat/1.png", Some(0), Some("cat"), None, None),
            ("cat/2.png", Some(0), Some("cat"), None, None),
            ("dog/1.png", Some(1), Some("dog"), None, None),
        ]
    );
    assert_eq!(set.report.classes.iter().map(|class| class.n).collect::<Vec<_>>(), [2, 1]);
    std::fs::remove_dir_all(tree.path().join("dog")).unwrap();
    refused(tree.open(Some("classes")), Code::Config, "1 class");
}

#[test]
fn a_written_manifest_spares_reading_what_did_not_change() {
    let tree = Tree::new();
    tree.pictures(&["a.png", "b.jpg"]);
    let set = tree.open(None).unwrap();
    let manifest = tree.path().join("manifest.csv");
    set.manifest.write(&manifest).unwrap();
    let again = tree.open(None).unwrap();
    assert_eq!((again.kind, again.sha256, &again.manifest), ("manifest", set.sha256, &set.manifest));

    // Of the same size and older than the manifest: believed.
    let (path, bytes) = (tree.path().join("a.png"), std::fs::read(tree.path().join("a.png")).unwrap());
    std::fs::write(&path, vec![0; bytes.len()]).unwrap();
    let modified = |time| std::fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
    let written = std::fs::metadata(&manifest).unwrap().modified().unwrap();
    modified(written - std::time::Duration::from_secs(1));
    assert_eq!(tree.open(None).unwrap().report.good, 2);
    // Newer: read, and found to be damaged, or another picture.
    modified(written + std::time::Duration::from_secs(1));
    assert_eq!(tree.open(None).unwrap().report.bad[0].id, "a.png");
    std::fs::write(&path, picture("a.png", 1)).unwrap();
    assert!(tree.open(None).unwrap().report.bad[0].reason.contains("AFF-DIGEST"));
}

#[test]
fn manifests_are_taken_as_they_are() {
    let tree = Tree::new();
    tree.pictures(&["a.png", "b.png"]);
    tree.write("list.jsonl", "{\"file\":\"a.png\",\"split\":\"heldout\"}\n{\"file\":\"b.png\",\"split\":\"train\"}\n");
    let list = tree.path().join("list.jsonl");
    let open = |split: &str| data::open(None, &list, &Options { split: Some(split.into()), ..Options::default() });
    let set = open("heldout").unwrap();
    assert_eq!(lines(&set), [("a.png", None, None, Some("heldout"), None)]);
    assert!(set.name.ends_with("/heldout"));
    refused(open("test"), Code::NotFound, "heldout, train");
    for (text, what) in [
        ("id,file\n1,a.png\n1,b.png\n", "same id"),
        ("file,label_index\na.png,-1\n", "bad CSV record"),
        ("file,label_index,label\na.png,3,cat\nb.png,3,dog\n", "class 3 is called `cat` and `dog`"),
        ("file,label_index,label\na.png,3,cat\nb.png,3,\n", "nothing"),
        ("file,mask\na.png,none.png\n", "none.png is missing"),
        ("file\n", "no sample"),
    ] {
        tree.write("manifest.csv", text);
        let error = tree.open(None).err().unwrap();
        assert!(error.to_string().contains(what), "{error}");
    }
    tree.write("manifest.csv", "file,width\na.png,16\nb.png,17\nc.png,\n");
    let bad = tree.open(None).unwrap().report.bad;
    assert_eq!(bad.iter().map(|bad| bad.id.as_str()).collect::<Vec<_>>(), ["b.png", "c.png"]);
}

#[test]
fn what_is_not_recognised_is_told_what_was_looked_for() {
    let tree = Tree::new();
    refused(tree.open(None), Code::NotFound, "is empty");
    std::fs::write(tree.path().join("notes.txt"), "nothing to see").unwrap();
    let error = refused(tree.open(None), Code::NotFound, "no data set was recognised");
    for (kind, layout) in data::kinds() {
        assert!(error.remedy().contains(kind) && error.remedy().contains(layout), "{kind}");
    }
    refused(tree.open(Some("imagenette")), Code::Config, "`imagenette` is no kind");
    for (kind, _) in data::kinds() {
        assert!(tree.open(Some(kind)).is_err(), "{kind}");
    }
    refused(data::open(None, &tree.path().join("none"), &Options::default()), Code::NotFound, "there is no");
}

/// Rows that a server has sealed lie in Parquet files, and are no images.
#[test]
fn other_parquet_files_are_no_data_set() {
    let results = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/results");
    assert!(results.join("demo/rows.parquet").is_file());
    refused(data::open(None, &results, &Options::default()), Code::NotFound, "no data set was recognised");
    let rows = results.join("demo/rows.parquet");
    let options = Options { extract: Some(std::env::temp_dir()), ..Options::default() };
    refused(data::open(None, &rows, &options), Code::Unsupported, "no column of images");
}

#[test]
fn imagenet_in_folders_of_wordnet_ids() {
    let tree = Tree::new();
    tree.pictures(&["val/n01440764/a.JPEG", "val/n15075141/b.JPEG", "train/n01443537/c.JPEG", "val/n00000001/d.JPEG"]);
    let set = tree.open(None).unwrap();
    assert_eq!(set.name, "imagenet");
    assert_eq!(
        lines(&set),
        [
            ("train/n01443537/c.JPEG", Some(1), Some("n01443537"), Some("train"), None),
            ("val/n01440764/a.JPEG", Some(0), Some("n01440764"), Some("val"), None),
            ("val/n15075141/b.JPEG", Some(999), Some("n15075141"), Some("val"), None),
        ]
    );
    assert!(set.report.bad[0].reason.contains("n00000001"));
    assert_eq!(tree.split("train").unwrap().name, "imagenet/train");
}

#[test]
fn imagenet_in_one_folder_by_every_list_of_labels() {
    let tree = Tree::new();
    tree.pictures(&["ILSVRC2012_val_00000001.JPEG", "ILSVRC2012_val_00000002.JPEG"]);
    refused(tree.open(None), Code::NotFound, "nothing says");
    let padded = |first: &str, second: &str| format!("{first}\n{second}\n{}", format!("{second}\n").repeat(49_998));
    for (name, text) in [
        ("val.txt", "ILSVRC2012_val_00000002.JPEG 970\nILSVRC2012_val_00000001.JPEG 65\n".into()),
        (
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nILSVRC2012_val_00000001,n01751748 1 2 3 4 \nILSVRC2012_val_00000002,n09193705 1 2\n"
                .into(),
        ),
        ("ILSVRC2012_validation_ground_truth.txt", padded("490", "361")),
        ("imagenet_2012_validation_synset_labels.txt", padded("n01751748", "n09193705")),
    ] {
        let truth = tree.write(name, text);
        let set = tree.open(None).unwrap();
        let classes: Vec<_> = set.manifest.entries().iter().map(|e| e.label_index).collect();
        assert_eq!(classes, [Some(65), Some(970)], "{name}");
        std::fs::remove_file(truth).unwrap();
    }
    for (text, what) in [
        ("ILSVRC2012_val_00000001.JPEG 1000\n", "`1000` is no class"),
        ("ILSVRC2012_val_00000001.JPEG\n", "`` is no class"),
        ("ILSVRC2012_val_00000001.JPEG 1\nILSVRC2012_val_00000001.JPEG 2\n", "two labels"),
        ("490\n361\n", "must be 50000"),
        ("0\n", "`0` is no ILSVRC2012_ID"),
        ("1001\n", "`1001` is no ILSVRC2012_ID"),
    ] {
        tree.write("val.txt", text);
        refused(tree.open(None), Code::Config, what);
    }
    tree.write("val.txt", "ILSVRC2012_val_00000002.JPEG 970\n");
    let set = tree.open(None).unwrap();
    assert_eq!((set.report.good, set.report.bad.len()), (1, 1));
    let elsewhere = Tree::new();
    let truth = Some(elsewhere.write("truth", "ILSVRC2012_val_00000001.JPEG 65\nILSVRC2012_val_00000002.JPEG 970\n"));
    let options = Options { truth, ..Options::default() };
    assert_eq!(data::open(None, tree.path(), &options).unwrap().report.good, 2);
}

/// Writes a shard of one row group as the hub's library does: all columns optional.
fn shard(path: &Path, rows: &[(Option<&[u8]>, i64)], names: Option<&str>) {
    let schema = parse_message_type(
        "message schema { optional group image { optional binary bytes; optional binary path (UTF8); }
         optional int64 label; }",
    )
    .unwrap();
    let metadata = names.map(|names| {
        let value =
            format!("{{\"info\":{{\"features\":{{\"label\":{{\"names\":{names},\"_type\":\"ClassLabel\"}}}}}}}}");
        vec![KeyValue::new("huggingface".to_owned(), value)]
    });
    let properties = WriterProperties::builder()
        .set_compression(parquet::basic::Compression::SNAPPY)
        .set_key_value_metadata(metadata)
        .build();
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = SerializedFileWriter::new(file, Arc::new(schema), Arc::new(properties)).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let images: Vec<_> = rows.iter().filter_map(|row| row.0).map(|image| ByteArray::from(image.to_vec())).collect();
    let levels: Vec<i16> = rows.iter().map(|row| if row.0.is_some() { 2 } else { 0 }).collect();
    let paths: Vec<_> = images.iter().map(|_| ByteArray::from("../../name.jpg")).collect();
    for values in [&images, &paths] {
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(values, Some(&levels), None).unwrap();
        column.close().unwrap();
    }
    let mut column = group.next_column().unwrap().unwrap();
    let labels: Vec<_> = rows.iter().map(|row| row.1).collect();
    column.typed::<Int64Type>().write_batch(&labels, Some(&vec![1; rows.len()]), None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
}

#[test]
fn shards_are_extracted_beside_the_manifest() {
    let (tree, out) = (Tree::new(), Tree::new());
    let images: Vec<_> = (0..40).map(|n| picture(if n % 2 == 0 { "a.jpg" } else { "a.png" }, n)).collect();
    let mut rows: Vec<_> = images.iter().enumerate().map(|(n, image)| (Some(&image[..]), n as i64 % 2)).collect();
    rows[3].0 = None;
    rows[5].0 = Some(b"no picture");
    let path = tree.path().join("data/validation-00000-of-00001.parquet");
    shard(&path, &rows, Some("[\"cat\",\"dog\"]"));
    shard(&tree.path().join("data/test-00000-of-00001.parquet"), &[(Some(&images[0]), -1)], None);
    let options =
        Options { split: Some("validation".into()), extract: Some(out.path().to_path_buf()), ..Options::default() };
    let set = data::open(None, tree.path(), &options).unwrap();
    assert_eq!((set.kind, set.report.good), ("parquet", 38));
    let bad: Vec<_> = set.report.bad.iter().map(|bad| bad.id.as_str()).collect();
    let id = |row: usize| format!("data/validation-00000-of-00001/{row:07}");
    assert_eq!(bad, [id(3), id(5)]);
    let (first, second) = (&set.manifest.entries()[0], &set.manifest.entries()[1]);
    assert_eq!((&first.id, first.label_index, first.label.as_deref()), (&id(0), Some(0), Some("cat")));
    assert_eq!((&second.file, second.label.as_deref()), (&format!("{}.png", id(1)), Some("dog")));
    assert!(first.source.as_deref().unwrap().contains("row 0"));
    assert_eq!(std::fs::read(set.manifest.path(second)).unwrap(), images[1]);
    let manifest = out.path().join("manifest.csv");
    set.manifest.write(&manifest).unwrap();
    assert_eq!(data::open(None, &manifest, &Options::default()).unwrap().sha256, set.sha256);

    refused(tree.open(None), Code::Config, "inside themselves");
    let all = Options { split: None, ..options };
    refused(data::open(None, tree.path(), &all), Code::Config, "label -1");
    let imagenet = |label| {
        shard(&path, &[(Some(&images[0]), label)], None);
        data::open(Some("imagenet"), &path, &all)
    };
    assert_eq!(imagenet(999).unwrap().report.good, 1);
    refused(imagenet(1000), Code::Config, "0 to 999");
}

#[test]
fn a_damaged_shard_is_an_error() {
    let (tree, out) = (Tree::new(), Tree::new());
    let path = tree.path().join("shard.parquet");
    let options = Options { extract: Some(out.path().to_path_buf()), ..Options::default() };
    let image = picture("a.png", 3);
    shard(&path, &[(Some(&image), 0), (Some(&image), 1)], None);
    let whole = std::fs::read(&path).unwrap();
    for length in (0..whole.len()).step_by(7) {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(data::open(None, &path, &options).is_err(), "{length}");
    }
    for at in (0..whole.len()).step_by(5) {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x55;
        std::fs::write(&path, damaged).unwrap();
        // It may go unnoticed, but never ends the process.
        let _ = data::open(None, &path, &options);
    }
}

#[test]
fn ade20k_and_its_masks() {
    let tree = Tree::new();
    tree.pictures(&["images/validation/ADE_val_1.jpg", "images/validation/ADE_val_2.jpg", "images/training/t.jpg"]);
    tree.mask("annotations/validation/ADE_val_1.png", 150).mask("annotations/validation/ADE_val_2.png", 0);
    tree.mask("annotations/training/t.png", 255);
    let set = tree.split("validation").unwrap();
    assert_eq!((&*set.name, set.report.good, set.report.masks), ("ade20k/validation", 2, 2));
    let masks = set.manifest.entries().iter().map(|e| (e.mask.as_deref().unwrap(), e.mask_sha256.is_some()));
    assert_eq!(masks.collect::<Vec<_>>()[0], ("annotations/validation/ADE_val_1.png", true));
    assert_eq!(tree.open(None).unwrap().report.good, 3);

    tree.mask("annotations/validation/ADE_val_1.png", 151);
    refused(tree.open(None), Code::Config, "holds class 151");
    tree.write("annotations/validation/ADE_val_1.png", file(".png", grey(15, 8, 0), 0.0));
    refused(tree.open(None), Code::Config, "15x8");
    tree.write("annotations/validation/ADE_val_1.png", picture(".png", 1));
    refused(tree.open(None), Code::Unsupported, "number");
    tree.write("annotations/validation/ADE_val_1.png", "damaged");
    assert_eq!(tree.open(None).unwrap().report.bad.len(), 1);
    std::fs::remove_file(tree.path().join("annotations/validation/ADE_val_1.png")).unwrap();
    refused(tree.open(None), Code::NotFound, "1 of 3 masks");
}

#[test]
fn camvid_groups_by_drive() {
    let tree = Tree::new();
    tree.pictures(&["test/0001TP_008550.png", "test/Seq05VD_f00000.png", "train/0006R0_f00930.png"]);
    tree.mask("testannot/0001TP_008550.png", 11).mask("testannot/Seq05VD_f00000.png", 0);
    tree.mask("trainannot/0006R0_f00930.png", 3);
    let set = tree.split("test").unwrap();
    let groups: Vec<_> = lines(&set).into_iter().map(|line| line.4.unwrap()).collect();
    assert_eq!((&*set.name, groups), ("camvid/test", vec!["0001TP", "Seq05VD"]));

    tree.write("manifest.csv", "file,mask\ntest/0001TP_008550.png,testannot/0001TP_008550.png\n");
    let set = tree.open(Some("camvid")).unwrap();
    assert_eq!((set.report.masks, set.manifest.entries()[0].group.as_deref()), (1, Some("0001TP")));
    tree.mask("testannot/0001TP_008550.png", 12);
    refused(tree.open(Some("camvid")), Code::Config, "holds class 12");
}

#[test]
fn ibean_by_split_and_class() {
    let tree = Tree::new();
    tree.pictures(&["test/healthy/1.jpg", "test/angular_leaf_spot/2.jpg", "train/bean_rust/3.jpg", "test/other/4.jpg"]);
    let set = tree.open(None).unwrap();
    assert_eq!(
        lines(&set),
        [
            ("test/angular_leaf_spot/2.jpg", Some(0), Some("angular_leaf_spot"), Some("test"), None),
            ("test/healthy/1.jpg", Some(2), Some("healthy"), Some("test"), None),
            ("train/bean_rust/3.jpg", Some(1), Some("bean_rust"), Some("train"), None),
        ]
    );
    assert_eq!(set.report.bad[0].id, "test/other/4.jpg");
    refused(tree.split("train"), Code::Config, "1 class(es) only: bean_rust");
}

#[test]
fn paediatric_groups_by_patient() {
    let tree = Tree::new();
    tree.pictures(&[
        "chest_xray/test/NORMAL/IM-0115-0001.jpeg",
        "chest_xray/test/PNEUMONIA/person1_virus_6.jpeg",
        "chest_xray/test/PNEUMONIA/person1_virus_7.jpeg",
        "chest_xray/test/PNEUMONIA/someone.jpeg",
    ]);
    let set = tree.open(None).unwrap();
    assert_eq!(
        lines(&set),
        [
            ("test/NORMAL/IM-0115-0001.jpeg", Some(0), Some("NORMAL"), Some("test"), Some("IM-0115")),
            ("test/PNEUMONIA/person1_virus_6.jpeg", Some(1), Some("PNEUMONIA"), Some("test"), Some("person1")),
            ("test/PNEUMONIA/person1_virus_7.jpeg", Some(1), Some("PNEUMONIA"), Some("test"), Some("person1")),
        ]
    );
    assert_eq!((set.report.bad.len(), set.report.groups.unwrap().n), (1, 2));
}

#[test]
fn chestxray14_whole_and_as_pneumonia() {
    let tree = Tree::new();
    tree.pictures(&["images_001/images/1_000.png", "images_002/images/2_000.png", "images_002/images/2_001.png"]);
    tree.pictures(&["images_002/images/9_000.png"]);
    let header = "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age\n";
    let rows = "1_000.png,No Finding,0,1,50\n2_000.png,Edema|Pneumonia,0,2,50\n2_001.png,Edema,1,2,50\n\
                3_000.png,Mass,0,3,50\n";
    tree.write("Data_Entry_2017.csv", format!("{header}{rows}"));
    tree.write("test_list.txt", "1_000.png\n2_000.png\n3_000.png\n");
    tree.write("train_val_list.txt", "2_001.png\n");
    let set = tree.open(None).unwrap();
    assert_eq!(
        lines(&set),
        [
            ("images_001/images/1_000.png", Some(10), Some("No Finding"), Some("test"), Some("1")),
            ("images_002/images/2_000.png", None, Some("Edema|Pneumonia"), Some("test"), Some("2")),
            ("images_002/images/2_001.png", Some(3), Some("Edema"), Some("train_val"), Some("2")),
        ]
    );
    let bad: Vec<_> = set.report.bad.iter().map(|bad| bad.id.as_str()).collect();
    assert_eq!(bad, ["3_000.png", "images_002/images/9_000.png"]);

    let set = tree.open(Some("chestxray14-pneumonia")).unwrap();
    let labels: Vec<_> = set.manifest.entries().iter().map(|e| (e.label_index, e.label.as_deref())).collect();
    assert_eq!(labels, [(Some(0), Some("normal")), (Some(1), Some("pneumonia"))]);
    assert_eq!(set.report.ignored["other findings"], 2);

    tree.write("Data_Entry_2017.csv", format!("{header}1_000.png,Happy,0,1,50\n"));
    refused(tree.open(None), Code::Config, "`Happy` is no finding");
    tree.write("Data_Entry_2017.csv", "Image,Label\n1_000.png,Mass\n");
    refused(tree.open(None), Code::Config, "bad CSV record");
    tree.write("Data_Entry_2017.csv", format!("{header}1_000.png,No Finding,0,1,50\n"));
    refused(tree.open(None), Code::Config, "1 class(es) only");
}

#[test]
fn kodak_is_whole_or_says_what_is_missing() {
    let tree = Tree::new();
    let names: Vec<_> = (1..=23).map(|n| format!("kodim{n:02}.png")).collect();
    tree.pictures(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let set = tree.open(None).unwrap();
    assert_eq!((&*set.name, set.report.good), ("kodak", 23));
    assert_eq!(set.report.bad[0].id, "kodim24.png");
}

#[test]
fn own_folders_know_their_patients_and_drives() {
    let tree = Tree::new();
    tree.pictures(&["chest_xray/a.png", "chest_xray/b.png", "camvid/test/0001TP_1.png"]);
    tree.mask("camvid/m.png", 1);
    tree.write(
        "chest_xray/manifest.csv",
        "file,split,label_index,label,wnid,original,licence,tier\n\
         a.png,heldout,0,normal,,00001638_000.png (1024x1024),free,A\nb.png,train,1,pneumonia,,00001639_001.png,free,A\n",
    );
    let open = |name: &str, split: Option<&str>| {
        let options = Options { split: split.map(str::to_owned), ..Options::default() };
        data::open(None, &tree.path().join(name), &options)
    };
    let set = open("chest_xray", Some("heldout")).unwrap();
    assert_eq!((set.kind, &*set.name), ("afferent", "chest_xray/heldout"));
    assert_eq!(lines(&set), [("a.png", Some(0), Some("normal"), Some("heldout"), Some("00001638"))]);
    tree.write("camvid/manifest.csv", "file,mask,original,tier\ntest/0001TP_1.png,m.png,x,C\n");
    assert_eq!(open("camvid", None).unwrap().manifest.entries()[0].group.as_deref(), Some("0001TP"));
    tree.mask("camvid/m.png", 12);
    refused(open("camvid", None), Code::Config, "class 12");
}

/// The real data sets, whole and without a fault.
#[test]
fn the_real_data_sets_are_whole() {
    let Some(root) = std::env::var_os("AFFERENT_DATA").map(PathBuf::from) else {
        println!("skipped: AFFERENT_DATA is not set");
        return;
    };
    for (folder, samples, classes, masks, groups) in [
        ("classification/imagenet_sample", 260, 260, 0, false),
        ("classification/imagenet_val227", 400, 400, 0, false),
        ("classification/beans", 120, 3, 0, false),
        ("classification/chest_xray", 80, 2, 0, true),
        ("segmentation/camvid", 48, 0, 48, true),
        ("segmentation/ade20k_sample", 3, 0, 3, false),
        ("images/kodak", 24, 0, 0, false),
    ] {
        let options = Options { split: Some("heldout".into()), ..Options::default() };
        let set = data::open(None, &root.join(folder), &options).unwrap();
        println!("{} ({}) {}\n{}", set.name, set.kind, set.sha256, set.report.render());
        let report = &set.report;
        assert_eq!((report.good, report.masks, report.groups.is_some()), (samples, masks, groups), "{folder}");
        assert_eq!((report.classes.len(), report.bad.len()), (classes, 0), "{folder}");
        assert!(Manifest::new(root.join(folder), set.manifest.entries().to_vec()).is_ok());
    }
}
