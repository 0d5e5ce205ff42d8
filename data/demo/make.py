#!/usr/bin/env python3
"""Makes the bundled demo data (images/, speech/, ATTRIBUTION.md) from Debian packages.

Needs apt-get and dpkg-deb, and the Python packages Pillow and soundfile. Run it in
any folder; it writes next to itself. The result is committed, so that nobody needs
to run it but who wants to change the selection.

Pictures: 640 pixels on the long side (Lanczos), JPEG at quality 95 without chroma
subsampling, no metadata. There are fewer photographs than a demo wants, so a part
of some of them is a picture of its own; `group` names the photograph, because
pictures of one group are not independent. Speech: FLAC, the samples as they are.
"""

import csv
import gzip
import io
import pathlib
import shutil
import subprocess
import tempfile

import soundfile
from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
LONG_SIDE = 640

OLD, NEW = "lomiri-wallpapers-16.04", "lomiri-wallpapers-20.04"
BY, BY_SA, BY_SA_3, CC0 = "CC-BY-4.0", "CC-BY-SA-4.0", "CC-BY-SA-3.0", "CC0-1.0"

# Package, file, author and licence as the package's copyright file states them, then
# the pictures made of it: id and the part that is kept (left, top, right, bottom as
# fractions).
WHOLE = (0, 0, 1, 1)
PHOTOGRAPHS = [
    (OLD, "Bridge_by_Sander_Klootwijk.jpg", "Sander Klootwijk", BY_SA, [("bridge", WHOLE)]),
    (OLD, "Dragonfly_by_Bolly.jpg", "Bolly", BY_SA,
     [("bush", WHOLE), ("dragonfly", (0.32, 0.14, 0.82, 0.64))]),
    (OLD, "Picture_0B_by_freespace.jpg", 'Trevor "Freespace"', BY, [("fig", WHOLE)]),
    (OLD, "Picture_1A_by_freespace.jpg", 'Trevor "Freespace"', BY, [("paintbrushes", WHOLE)]),
    (OLD, "Wine_by_Jakkub_Mede.jpg", "Jakub Mede", BY,
     [("room", WHOLE), ("wine", (0.2, 0.08, 1, 0.53)), ("drum", (0.05, 0.42, 0.85, 0.98))]),
    (OLD, "aitzgorri_by_Aitzol_Berasategi.jpg", "Aitzol Berasategi", BY, [("mountain", WHOLE)]),
    (OLD, "free_by_Peter_Nerlich.jpg", "Peter Nerlich", BY_SA,
     [("lamp", WHOLE), ("bird", (0.2, 0.45, 0.72, 0.98))]),
    (OLD, "friends_by_Aitzol_Berasategi.jpg", "Aitzol Berasategi", BY,
     [("window", WHOLE), ("dogs", (0.15, 0.17, 0.85, 0.7))]),
    (OLD, "greentock_by_Peter_Nerlich.jpg", "Peter Nerlich", BY_SA, [("clock", WHOLE)]),
    (OLD, "life_by_Aitzol_Berasategi.jpg", "Aitzol Berasategi", BY, [("brook", WHOLE)]),
    (OLD, "picosdeeuropa_by_Aitzol_Berasategi.jpg", "Aitzol Berasategi", BY, [("path", WHOLE)]),
    (OLD, "seeding_by_Clements_Engelhardt.jpg", "Clemens Engelhardt", CC0,
     [("meadow", WHOLE), ("dandelion", (0.08, 0, 0.5, 0.72))]),
    (OLD, "sunset_by_Aitzol_Berasategi.jpg", "Aitzol Berasategi", BY, [("sunset", WHOLE)]),
    (NEW, "Kleiber_by_Lukas_Baubkus.jpg", "Lukas Baubkus", BY_SA_3,
     [("tree", WHOLE), ("nuthatch", (0.33, 0.28, 0.68, 0.78))]),
]

SOUNDS, TEXTS = "asterisk-core-sounds-en-wav", "asterisk-core-sounds-en"
SPEAKER, SPEECH_LICENCE = "Allison Smith", BY_SA_3
CLIPS = [
    "followme/status",
    "privacy-unident",
    "queue-youarenext",
    "ss-noservice",
    "tt-weasels",
    "vm-newuser",
    "vm-nobox",
    "vm-record-prepend",
]


def unpack(package, root):
    """Unpacks `package` below `root`; returns its folder and version."""
    subprocess.run(["apt-get", "download", "-q", package], cwd=root, check=True)
    archive = next(root.glob(f"{package}_*.deb"))
    folder = root / package
    subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)
    version = subprocess.run(["dpkg-deb", "-f", archive, "Version"], check=True, capture_output=True, text=True)
    return folder, version.stdout.strip()


def fresh(name):
    folder = HERE / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    return folder


def write_manifest(path, rows):
    text = io.StringIO()
    table = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    table.writeheader()
    table.writerows(rows)
    path.write_text(text.getvalue(), encoding="utf-8")


def make_images(packages):
    folder, rows, notes = fresh("images"), [], []
    for package, name, author, licence, parts in PHOTOGRAPHS:
        root, version = packages[package]
        with Image.open(root / "usr/share/backgrounds" / name) as file:
            photograph = file.convert("RGB")
        title = name.split("_by_")[0].replace("_", " ")
        for id_, part in parts:
            box = [round(a * b) for a, b in zip(part, photograph.size * 2)]
            picture = photograph.crop(box)
            scale = LONG_SIDE / max(picture.size)
            picture = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.LANCZOS)
            picture.save(folder / f"{id_}.jpg", quality=95, subsampling="4:4:4", optimize=True)
            source = f"Debian package {package} {version}: {name}"
            rows.append({"id": id_, "file": f"{id_}.jpg", "group": title, "licence": licence, "source": source})
            change = "scaled to" if part == WHOLE else f"cropped to {box[0]},{box[1]}-{box[2]},{box[3]}, scaled to"
            change += f" {picture.width}x{picture.height}, encoded again"
            notes.append((f"images/{id_}.jpg", author, title, licence, f"{package} {version}, `{name}`", change))
    rows.sort(key=lambda row: row["id"])
    write_manifest(folder / "manifest.csv", rows)
    return sorted(notes)


def make_speech(packages):
    folder, rows, notes = fresh("speech"), [], []
    root, version = packages[SOUNDS]
    texts_root, texts_version = packages[TEXTS]
    with gzip.open(next(texts_root.rglob("core-sounds-en.txt.gz")), "rt", encoding="utf-8", errors="replace") as file:
        texts = dict(line.split(":", 1) for line in file if ":" in line)
    for clip in CLIPS:
        id_ = clip.replace("/", "-")
        original = next(root.rglob(f"{clip}.wav"))
        samples, rate = soundfile.read(original, dtype="int16")
        soundfile.write(folder / f"{id_}.flac", samples, rate, subtype="PCM_16")
        transcript = " ".join(texts[clip].split())
        source = f"Debian packages {SOUNDS} {version} and {TEXTS} {texts_version}: {clip}"
        rows.append({"id": id_, "file": f"{id_}.flac", "transcript": transcript, "licence": SPEECH_LICENCE,
                     "source": source})
        notes.append((f"speech/{id_}.flac", SPEAKER, clip, SPEECH_LICENCE, f"{SOUNDS} {version}, `{clip}.wav`",
                      "WAV to FLAC, same samples"))
    write_manifest(folder / "manifest.csv", rows)
    return notes


def write_attribution(notes):
    lines = [
        "# Attribution of the demo data",
        "",
        "Made by `make.py` from Debian packages, whose copyright files state authors and licences. Each file keeps the",
        "licence of its original: what is made from a work under CC BY-SA is under the same CC BY-SA. The texts of the",
        "licences are those of Creative Commons, by the SPDX names in the table. No author endorses this project. All",
        f"speech is by one speaker, with financial contributions by Digium, Inc.; the transcripts are from `{TEXTS}`.",
        "",
        "| file | author | title | licence | package, version, file | changes |",
        "|---|---|---|---|---|---|",
    ]
    lines += ["| " + " | ".join(note) + " |" for note in notes]
    (HERE / "ATTRIBUTION.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(temporary)
        packages = {package: unpack(package, root) for package in (OLD, NEW, SOUNDS, TEXTS)}
        write_attribution(make_images(packages) + make_speech(packages))


if __name__ == "__main__":
    main()
