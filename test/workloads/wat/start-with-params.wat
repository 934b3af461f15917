;; Its `_start` wants a parameter, which WASI does not allow.
(module
  (memory (export "memory") 1)
  (func (export "_start") (param i32)))
