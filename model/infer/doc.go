// Package infer holds the estimators of log p(x).
package infer
