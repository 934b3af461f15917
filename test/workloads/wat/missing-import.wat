;; Imports a function that no engine has.
(module
  (import "no_such_module" "no_such_function" (func $nothing))
  (memory (export "memory") 1)
  (func (export "_start") (call $nothing)))
