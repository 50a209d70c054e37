//! HTTP as every source uses it: bucket, limits, errors.
