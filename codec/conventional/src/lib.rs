//! Conventional codecs: PNG, JPEG, WebP, PCM, Opus.
