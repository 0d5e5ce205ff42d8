//! The trait that inference backends implement.
//!
//! Codecs, tasks and metrics that need a network ask for `&mut dyn Network`;
//! which backend answers (and on which provider) is the business of `models`.

use crate::error::{Code, Error, Result};

/// A dense tensor of 32-bit floats in row-major order.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    shape: Vec<usize>,
    data: Vec<f32>,
}

impl Tensor {
    /// A tensor of `shape` holding `data` in row-major order.
    ///
    /// # Errors
    /// [`Code::Model`] if the length of `data` is not the product of `shape`.
    pub fn new(shape: impl Into<Vec<usize>>, data: Vec<f32>) -> Result<Self> {
        let shape = shape.into();
        let expected = shape.iter().try_fold(1usize, |n, &d| n.checked_mul(d));
        if expected != Some(data.len()) {
            return Err(Error::new(
                Code::Model,
                format!("a tensor of shape {shape:?} cannot hold {} values", data.len()),
                "check the shape against the model's contract",
            ));
        }
        Ok(Self { shape, data })
    }

    /// The size of each axis, outermost first.
    #[must_use]
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The values in row-major order.
    #[must_use]
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// The values themselves.
    #[must_use]
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }
}

/// A loaded network: named tensors in, named tensors out.
pub trait Network: Send {
    /// What really runs it, for example `tract/cpu`. Recorded in every row.
    fn provider(&self) -> &str;

    /// The name and shape (`None` for a dynamic axis) of each input.
    fn inputs(&self) -> &[(String, Vec<Option<usize>>)];

    /// Runs the network once.
    ///
    /// # Errors
    /// [`Code::Model`] if an input is missing, unknown or of the wrong shape,
    /// or if the backend fails.
    fn run(&mut self, inputs: &[(&str, &Tensor)]) -> Result<Vec<(String, Tensor)>>;
}
