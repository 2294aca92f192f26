//! Vectors: what texts mean, as a model has it. Only those of one space (a model at an address) can be compared.

use std::collections::BTreeMap;

/// Which model made a vector.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Space(pub String);

/// A direction. Of length one, so that a scalar product says how alike two are.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector(Vec<f32>);

impl Vector {
    /// A vector; none if it leads nowhere, or holds what is no number.
    #[must_use]
    pub fn new(numbers: Vec<f32>) -> Option<Vector> {
        let length = numbers.iter().map(|n| f64::from(*n).powi(2)).sum::<f64>().sqrt();
        if !length.is_finite() || length <= f64::EPSILON {
            return None;
        }
        Some(Vector(numbers.into_iter().map(|n| (f64::from(n) / length) as f32).collect()))
    }

    /// Its numbers.
    #[must_use]
    pub fn numbers(&self) -> &[f32] {
        &self.0
    }

    /// How alike two are: 1 for the same direction. None if they are not of one space.
    #[must_use]
    pub fn likeness(&self, other: &Vector) -> Option<f32> {
        if self.0.len() != other.0.len() {
            return None;
        }
        Some(self.0.iter().zip(&other.0).map(|(a, b)| a * b).sum())
    }
}

/// What a question means, in each space that there is.
pub type Meanings = BTreeMap<Space, Vector>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_a_direction() {
        let vector = |numbers: &[f32]| Vector::new(numbers.to_vec());
        let (Some(a), Some(b)) = (vector(&[3.0, 0.0]), vector(&[0.5, 0.0])) else {
            unreachable!("both lead somewhere")
        };
        assert_eq!(a.likeness(&b), Some(1.0));
        assert_eq!(vector(&[0.0, -2.0]).and_then(|c| a.likeness(&c)), Some(0.0));
        assert_eq!(vector(&[1.0, 1.0, 1.0]).and_then(|c| a.likeness(&c)), None);
        assert!(vector(&[]).is_none() && vector(&[0.0]).is_none());
        assert!(vector(&[f32::NAN]).is_none() && vector(&[f32::INFINITY]).is_none());
    }
}
