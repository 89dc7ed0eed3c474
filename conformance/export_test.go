package conformance

// MainWith is [Main] without the process around it.
var MainWith = mainWith
