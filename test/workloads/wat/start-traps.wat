;; Traps in its start function, that is while it is instantiated, before `_start` could run.
(module
  (memory (export "memory") 1)
  (func $first unreachable)
  (start $first)
  (func (export "_start")))
