//! What is kept of numbers, texts and identifiers that are sent: the contract's "Values", and rule V6.
//!
//! | file | what is sent |
//! | --- | --- |
//! | `doubles` | hard doubles, through every number with a fraction of every endpoint, event and directory line |
//! | `required` | empty and missing identifiers and blank texts, in every endpoint that has them |

mod doubles;
mod required;
