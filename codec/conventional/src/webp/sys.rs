//! The calls into libwebp: the only unsafe code of this crate.
//!
//! What each block relies on is said at the block. Nothing of libwebp leaves this
//! module but plain values, and nothing it borrows outlives the call.
#![allow(unsafe_code)]

use afferent_media::{Code, Error, ImageView, PixelFormat, Plane, Result};
use libwebp_sys as ffi;
use std::ffi::c_int;

/// A validated encoder configuration.
pub(super) struct Config(ffi::WebPConfig);

/// The part of a header that decides whether a file is decoded.
pub(super) struct Header {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) animated: bool,
}

/// Version of the encoder that is linked: major, minor, revision.
pub(super) fn version() -> [c_int; 3] {
    // SAFETY: takes nothing, returns a number.
    let packed = unsafe { ffi::WebPGetEncoderVersion() };
    [packed >> 16 & 0xff, packed >> 8 & 0xff, packed & 0xff]
}

/// libwebp's default configuration at this quality (0 to 100) and method (0 to 6).
pub(super) fn config(quality: f32, method: c_int) -> Result<Config> {
    let refused = || Error::new(Code::Internal, "libwebp refuses its configuration", "report this");
    let mut config = ffi::WebPConfig::new().map_err(|()| refused())?;
    config.quality = quality;
    config.method = method;
    // SAFETY: reads an initialised structure.
    if unsafe { ffi::WebPValidateConfig(&raw const config) } == 0 {
        return Err(refused());
    }
    Ok(Config(config))
}

/// Frees what libwebp allocated for a picture, on every way out.
struct Picture(ffi::WebPPicture);

impl Drop for Picture {
    fn drop(&mut self) {
        // SAFETY: the picture was initialised by `WebPPicture::new`; freeing one
        // that holds nothing is allowed.
        unsafe { ffi::WebPPictureFree(&raw mut self.0) }
    }
}

/// Appends `image` (RGB, or planar 4:2:0 of BT.601 at limited range) as a WebP file to
/// `file`.
pub(super) fn encode(config: &Config, image: ImageView<'_>, file: &mut Vec<u8>) -> Result<()> {
    let failed = |what: String| Error::new(Code::Internal, what, "report this with the image");
    let size =
        |value: usize| c_int::try_from(value).map_err(|e| failed("an image row is too long".into()).caused_by(e));
    let mut picture = Picture(ffi::WebPPicture::new().map_err(|()| failed("libwebp refuses its picture".into()))?);
    picture.0.width = size(image.width() as usize)?;
    picture.0.height = size(image.height() as usize)?;
    picture.0.use_argb = 0;
    let row = image.width() as usize * PixelFormat::Rgb8.channels();
    let planes: Vec<Plane<'_>> = image.planes().collect();
    match (image.format(), &planes[..]) {
        (PixelFormat::Rgb8, _) if image.rows().all(|pixels| pixels.len() == row) => {
            let stride = size(image.stride())?;
            // SAFETY: `data` holds `height` rows of `3 * width` bytes, `stride` bytes
            // apart, which was checked row by row above; libwebp copies them.
            if unsafe { ffi::WebPPictureImportRGB(&raw mut picture.0, image.data().as_ptr(), stride) } == 0 {
                return Err(failed("libwebp has no memory for the picture".into()));
            }
        }
        (PixelFormat::I420, [y, u, v]) if planes.iter().all(whole) && u.stride == v.stride => {
            picture.0.colorspace = ffi::WebPEncCSP::WEBP_YUV420;
            picture.0.y_stride = size(y.stride)?;
            picture.0.uv_stride = size(u.stride)?;
            // The planes are borrowed for longer than the picture, and not its own:
            // `WebPPictureFree` frees what libwebp has allocated, which is nothing. The
            // encoder would write to them for `show_compressed`, which is off, and under
            // transparent pixels, which there are none of.
            picture.0.y = y.data.as_ptr().cast_mut();
            picture.0.u = u.data.as_ptr().cast_mut();
            picture.0.v = v.data.as_ptr().cast_mut();
        }
        _ => return Err(failed("libwebp was given other than whole rows".into())),
    }
    picture.0.writer = Some(append);
    picture.0.custom_ptr = std::ptr::from_mut(file).cast();
    // SAFETY: configuration and picture are initialised; planes that were borrowed hold
    // every row, which was checked above, and outlive the call; the writer's pointer is
    // to `file`, which is borrowed for longer than this call and touched by
    // nobody else during it.
    if unsafe { ffi::WebPEncode(&raw const config.0, &raw mut picture.0) } == 0 {
        return Err(failed(format!("libwebp cannot encode: {:?}", picture.0.error_code)));
    }
    Ok(())
}

/// Whether the plane holds every row that it says.
fn whole(plane: &Plane<'_>) -> bool {
    let (width, height) = (plane.width as usize, plane.height as usize);
    height > 0 && plane.stride >= width && plane.data.len() >= (height - 1) * plane.stride + width
}

/// libwebp's way out for bytes. Never unwinds.
unsafe extern "C" fn append(data: *const u8, length: usize, picture: *const ffi::WebPPicture) -> c_int {
    if length == 0 {
        return 1;
    }
    // SAFETY: libwebp passes the picture that `encode` gave it, whose
    // `custom_ptr` is an exclusively borrowed `Vec<u8>`, and `length` readable bytes.
    let (file, bytes) =
        unsafe { (&mut *(*picture).custom_ptr.cast::<Vec<u8>>(), std::slice::from_raw_parts(data, length)) };
    if file.try_reserve(length).is_err() {
        return 0;
    }
    file.extend_from_slice(bytes);
    1
}

/// What the header of `file` says; `None` if it is damaged or cut.
pub(super) fn header(file: &[u8]) -> Option<Header> {
    let mut features = std::mem::MaybeUninit::<ffi::WebPBitstreamFeatures>::zeroed();
    // SAFETY: reads at most `len` bytes of `file`; zeroed features are valid, as
    // they are integers alone.
    let (status, features) =
        unsafe { (ffi::WebPGetFeatures(file.as_ptr(), file.len(), features.as_mut_ptr()), features.assume_init()) };
    if status != ffi::VP8StatusCode::VP8_STATUS_OK {
        return None;
    }
    Some(Header {
        width: u32::try_from(features.width).ok()?,
        height: u32::try_from(features.height).ok()?,
        animated: features.has_animation != 0,
    })
}

/// Decodes `file` into packed RGB rows of `width` pixels; false if it is damaged.
pub(super) fn decode(file: &[u8], width: u32, pixels: &mut [u8]) -> bool {
    let Ok(stride) = c_int::try_from(width as usize * PixelFormat::Rgb8.channels()) else { return false };
    // SAFETY: reads at most `file.len()` bytes and writes at most `pixels.len()`;
    // libwebp checks that the rows fit.
    let end = unsafe { ffi::WebPDecodeRGBInto(file.as_ptr(), file.len(), pixels.as_mut_ptr(), pixels.len(), stride) };
    !end.is_null()
}
