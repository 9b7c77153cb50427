//! What is kept of numbers, texts and identifiers that are sent: the contract's "Values", and rule V6.
//!
//! | file | what is sent |
//! | --- | --- |
//! | `required` | empty and missing identifiers and blank texts, in every endpoint that has them |

mod required;
