//! JPEG by an element, and by the conventional codec what an element does not do:
//! decoding, and passing on what a camera has coded.

use crate::element::{Element, Tools};
use crate::pipeline::{Kept, Raw, takes};
use afferent_codec::{Codec, ContainerWriter, Descriptor, ImageDecoder, ImageEncoder, ImageShape, Limits, Settings};
use afferent_codec_conventional::jpeg;
use afferent_media::{Code, Error, ImageView, PixelFormat, Result};

/// JPEG by an element.
pub(crate) struct Jpeg {
    descriptor: Descriptor,
    element: &'static Element,
    tools: Tools,
    /// Whose bitstream it is.
    software: jpeg::Jpeg,
}

impl Jpeg {
    /// The codec by `element`, whose plugin has this version.
    pub(crate) fn new(element: &'static Element, version: &str, tools: Tools) -> Self {
        let software = jpeg::Jpeg::new();
        let same = software.descriptor();
        let descriptor = Descriptor {
            version: same.version,
            tier: element.tier,
            implementation: format!("GStreamer {} {version} (subprocess)", element.name),
            presets: element.preset,
            extension: same.extension,
            ..crate::descriptor(same.id, same.knob, element.licence)
        };
        Self { descriptor, element, tools, software }
    }
}

impl Codec for Jpeg {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn settings_note(&self, preset: &str) -> String {
        self.software.settings_note(preset)
    }

    fn image_encoder(&self, settings: &Settings) -> Result<Box<dyn ImageEncoder>> {
        let (_, quality) = settings.resolve(&self.descriptor)?;
        Ok(Box::new(Encoder {
            element: self.element,
            quality: quality.unwrap_or(75.0) as i32,
            pipeline: Kept::new(self.element.name, self.tools.clone()),
            camera: self.software.image_encoder(&Settings::default())?,
        }))
    }

    fn image_decoder(&self, limits: &Limits) -> Result<Box<dyn ImageDecoder>> {
        self.software.image_decoder(limits)
    }
}

struct Encoder {
    element: &'static Element,
    quality: i32,
    pipeline: Kept,
    /// Passes on what a camera has coded.
    camera: Box<dyn ImageEncoder>,
}

impl ImageEncoder for Encoder {
    fn takes(&self, format: PixelFormat) -> bool {
        takes(format)
    }

    fn encode(&mut self, image: ImageView<'_>, out: &mut ContainerWriter) -> Result<()> {
        let raw = Raw::of(&image, false)?;
        let file = self.pipeline.code(raw, raw.pack(&image), || self.element.stages(self.quality))?;
        let shape = jpeg::wrap(&file, out)?;
        if (shape.width, shape.height) != (image.width(), image.height()) {
            return Err(Error::new(
                Code::Unsupported,
                format!(
                    "{} made {}x{} pixels of {}x{}",
                    self.element.name,
                    shape.width,
                    shape.height,
                    image.width(),
                    image.height()
                ),
                "use frames whose sides are multiples of 16",
            ));
        }
        Ok(())
    }

    fn adopt(&mut self, file: &[u8], out: &mut ContainerWriter) -> Result<ImageShape> {
        self.camera.adopt(file, out)
    }
}
