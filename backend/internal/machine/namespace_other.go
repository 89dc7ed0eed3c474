//go:build !linux

package machine

// InOwnNamespace does nothing: there are no mount namespaces here.
func InOwnNamespace() {}
