module github.com/papyra-go/papyra

go 1.26
