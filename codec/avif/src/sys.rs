//! The calls into libavif and libaom: the only unsafe code of this crate.
//!
//! What each block relies on is said at the block. Nothing of the libraries leaves
//! this module but plain values, and nothing they borrow outlives the call.
#![allow(unsafe_code)]

use crate::{corrupt, internal, unknown};
use afferent_media::{Image, ImageView, PixelFormat, Result};
use libavif_sys as ffi;
use std::ffi::{CStr, c_char, c_int};
use std::ptr::NonNull;

/// How to encode.
#[derive(Debug, Clone, Copy)]
pub(super) struct Config {
    /// libavif's quality, 0 to 100.
    pub(super) quality: c_int,
    /// libavif's speed, 0 to 10.
    pub(super) speed: c_int,
}

/// Versions of libaom and libavif, as linked.
pub(super) fn versions() -> [String; 2] {
    // SAFETY: take nothing, return static strings.
    let [aom, avif] = unsafe { [libaom_sys::aom_codec_version_str(), ffi::avifVersion()] };
    [text(aom).trim_start_matches('v').to_owned(), text(avif)]
}

/// A copy of a library's static string.
fn text(string: *const c_char) -> String {
    // SAFETY: every caller passes what a library says is a static string.
    unsafe { CStr::from_ptr(string) }.to_string_lossy().into_owned()
}

/// Why libavif failed.
fn reason(result: ffi::avifResult) -> String {
    // SAFETY: takes a number, returns a static string.
    text(unsafe { ffi::avifResultToString(result) })
}

/// An encoder, freed on every way out.
struct Encoder(NonNull<ffi::avifEncoder>);

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: made by `avifEncoderCreate`, freed once.
        unsafe { ffi::avifEncoderDestroy(self.0.as_ptr()) }
    }
}

/// A picture, freed on every way out.
struct Picture(NonNull<ffi::avifImage>);

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: made by `avifImageCreate`, freed once.
        unsafe { ffi::avifImageDestroy(self.0.as_ptr()) }
    }
}

/// Bytes that libavif allocated, freed on every way out.
struct Output(ffi::avifRWData);

impl Drop for Output {
    fn drop(&mut self) {
        // SAFETY: empty or allocated by libavif, freed once.
        unsafe { ffi::avifRWDataFree(&raw mut self.0) }
    }
}

/// A decoder, freed on every way out.
struct Decoder(NonNull<ffi::avifDecoder>);

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: made by `avifDecoderCreate`, freed once.
        unsafe { ffi::avifDecoderDestroy(self.0.as_ptr()) }
    }
}

/// Appends `image` as an AVIF file to `file`.
pub(super) fn encode(config: Config, image: ImageView<'_>, file: &mut Vec<u8>) -> Result<()> {
    let row = image.width() as usize * image.format().channels();
    if image.rows().any(|pixels| pixels.len() != row) {
        return Err(internal("libavif was given other than whole rows"));
    }
    // libavif computes places in 32 bits.
    let rows = (i32::try_from(image.data().len()), u32::try_from(image.stride()));
    let (Ok(_), Ok(stride)) = rows else { return Err(internal("libavif was given more than 2 GiB")) };
    let format = match image.format() {
        PixelFormat::Rgb8 => ffi::AVIF_PIXEL_FORMAT_YUV420,
        PixelFormat::Gray8 => ffi::AVIF_PIXEL_FORMAT_YUV400,
        other => return Err(unknown(other)),
    };
    let none = || internal("libavif has no memory");
    // SAFETY: take plain values; null is turned into an error.
    let (picture, encoder) = unsafe {
        (
            Picture(NonNull::new(ffi::avifImageCreate(image.width(), image.height(), 8, format)).ok_or_else(none)?),
            Encoder(NonNull::new(ffi::avifEncoderCreate()).ok_or_else(none)?),
        )
    };
    let failed = |result| internal(format!("libavif cannot encode: {}", reason(result)));
    let mut output = Output(ffi::avifRWData::default());
    // SAFETY: picture and encoder are live and exclusively ours. Both ways in, the
    // pixels are `height` rows of `row` bytes, `stride` bytes apart, checked row by
    // row above; libavif only reads them, and no longer than until this returns: grey
    // rows are borrowed as a plane that the picture is told not to own.
    let result = unsafe {
        let (picture, encoder) = (picture.0.as_ptr(), encoder.0.as_ptr());
        (*picture).yuvRange = ffi::AVIF_RANGE_FULL;
        (*picture).colorPrimaries = ffi::AVIF_COLOR_PRIMARIES_BT709 as ffi::avifColorPrimaries;
        (*picture).transferCharacteristics =
            ffi::AVIF_TRANSFER_CHARACTERISTICS_SRGB as ffi::avifTransferCharacteristics;
        (*picture).matrixCoefficients = ffi::AVIF_MATRIX_COEFFICIENTS_BT601 as ffi::avifMatrixCoefficients;
        if format == ffi::AVIF_PIXEL_FORMAT_YUV400 {
            (*picture).yuvPlanes[0] = image.data().as_ptr().cast_mut();
            (*picture).yuvRowBytes[0] = stride;
            (*picture).imageOwnsYUVPlanes = 0;
        } else {
            let mut rgb = packed(picture);
            rgb.pixels = image.data().as_ptr().cast_mut();
            rgb.rowBytes = stride;
            match ffi::avifImageRGBToYUV(picture, &raw const rgb) {
                ffi::AVIF_RESULT_OK => {}
                result => return Err(failed(result)),
            }
        }
        (*encoder).codecChoice = ffi::AVIF_CODEC_CHOICE_AOM;
        (*encoder).maxThreads = 1;
        (*encoder).speed = config.speed;
        (*encoder).quality = config.quality;
        ffi::avifEncoderWrite(encoder, picture, &raw mut output.0)
    };
    if result != ffi::AVIF_RESULT_OK || output.0.data.is_null() {
        return Err(failed(result));
    }
    // SAFETY: libavif succeeded: `data` is `size` initialised bytes that live as long as `output`.
    file.extend_from_slice(unsafe { std::slice::from_raw_parts(output.0.data, output.0.size) });
    Ok(())
}

/// Interleaved 8-bit RGB of the size of `picture`, not yet pointing anywhere.
///
/// # Safety
/// `picture` must be a live picture.
unsafe fn packed(picture: *const ffi::avifImage) -> ffi::avifRGBImage {
    let mut rgb = ffi::avifRGBImage::default();
    // SAFETY: reads the live picture, writes the structure that it is given.
    unsafe { ffi::avifRGBImageSetDefaults(&raw mut rgb, picture) };
    rgb.depth = 8;
    rgb.format = ffi::AVIF_RGB_FORMAT_RGB;
    rgb
}

/// Decodes `file`, of one picture of `width` by `height` pixels, into `out`.
pub(super) fn decode(file: &[u8], width: u32, height: u32, out: &mut Image) -> Result<()> {
    let damaged = |what: &str| corrupt(format!("the AVIF bitstream is damaged: {what}"));
    let checked = |result| match result {
        ffi::AVIF_RESULT_OK => Ok(()),
        ffi::AVIF_RESULT_OUT_OF_MEMORY => Err(internal("libavif has no memory")),
        result => Err(damaged(&reason(result))),
    };
    // SAFETY: takes nothing; null is turned into an error.
    let decoder = unsafe { ffi::avifDecoderCreate() };
    let decoder = Decoder(NonNull::new(decoder).ok_or_else(|| internal("libavif has no memory"))?);
    // SAFETY: the decoder is live and exclusively ours; it reads at most
    // `file.len()` bytes of `file`, which outlives it. After `avifDecoderNextImage`
    // succeeds its picture and the planes in it live as long as it does.
    let picture = unsafe {
        let decoder = decoder.0.as_ptr();
        (*decoder).codecChoice = ffi::AVIF_CODEC_CHOICE_AOM;
        (*decoder).maxThreads = 1;
        (*decoder).requestedSource = ffi::AVIF_DECODER_SOURCE_PRIMARY_ITEM;
        (*decoder).ignoreExif = 1;
        (*decoder).ignoreXMP = 1;
        (*decoder).imageSizeLimit = width.saturating_mul(height).min(ffi::AVIF_DEFAULT_IMAGE_SIZE_LIMIT);
        (*decoder).imageDimensionLimit = width.max(height);
        (*decoder).imageCountLimit = 1;
        (*decoder).strictFlags = ffi::AVIF_STRICT_ENABLED;
        checked(ffi::avifDecoderSetIOMemory(decoder, file.as_ptr(), file.len()))?;
        checked(ffi::avifDecoderParse(decoder))?;
        checked(ffi::avifDecoderNextImage(decoder))?;
        &*(*decoder).image
    };
    if (picture.width, picture.height, picture.depth) != (width, height, 8) {
        return Err(damaged("its headers disagree"));
    }
    if picture.yuvFormat == ffi::AVIF_PIXEL_FORMAT_YUV400 {
        if picture.yuvRange != ffi::AVIF_RANGE_FULL || picture.yuvPlanes[0].is_null() {
            return Err(damaged("its grey is not of full range"));
        }
        let pixels = out.reset(width, height, PixelFormat::Gray8)?;
        for (y, row) in pixels.chunks_exact_mut(width as usize).enumerate() {
            // SAFETY: the plane has `height` rows of at least `width` bytes,
            // `yuvRowBytes` apart.
            row.copy_from_slice(unsafe {
                std::slice::from_raw_parts(
                    picture.yuvPlanes[0].add(y * picture.yuvRowBytes[0] as usize),
                    width as usize,
                )
            });
        }
        return Ok(());
    }
    let pixels = out.reset(width, height, PixelFormat::Rgb8)?;
    // SAFETY: libavif writes `height` rows of `3 * width` bytes, which is what
    // `pixels` holds; it only reads the picture.
    checked(unsafe {
        let mut rgb = packed(picture);
        rgb.pixels = pixels.as_mut_ptr();
        rgb.rowBytes = width.saturating_mul(3);
        ffi::avifImageYUVToRGB(picture, &raw mut rgb)
    })
}
