;; Uses the exception-handling proposal: throws and catches.
(module
  (memory (export "memory") 1)
  (tag $oops)
  (func (export "_start")
    (block $caught
      (try_table (catch $oops $caught) (throw $oops)))))
