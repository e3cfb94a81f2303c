package s3_test

import (
	"io"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/quire-docs/quire/blob"
	"github.com/quire-docs/quire/blob/blobtest"
	"github.com/quire-docs/quire/blob/s3"
	"github.com/quire-docs/quire/blob/s3/s3test"
)

// BenchmarkUpload stores 256 MiB of unknown length: by a Store over the driver,
// with its checksums, and by the S3 client's own upload in parts, by turns.
func BenchmarkUpload(b *testing.B) {
	const size = 256 << 20
	server := s3test.Start(b)
	store := blob.New(open(b, server.URL("p"), s3.Options{}), blob.Options{})
	client := server.Client(b)
	source := func() io.Reader { return io.MultiReader(blobtest.Sparse(size)) } // nothing but Read
	for _, way := range []struct {
		name string
		put  func() error
	}{
		{"quire", func() error {
			seg, err := store.Put(b.Context(), source())
			if err != nil {
				return err
			}
			return store.Delete(b.Context(), seg.Key)
		}},
		{"minio-go", func() error {
			name := string(blob.NewKey())
			_, err := client.Client.PutObject(b.Context(), s3test.Bucket, name, source(), -1, minio.PutObjectOptions{PartSize: 8 << 20, NumThreads: 3, ConcurrentStreamParts: true})
			if err != nil {
				return err
			}
			return client.RemoveObject(b.Context(), s3test.Bucket, name, minio.RemoveObjectOptions{})
		}},
	} {
		b.Run(way.name, func(b *testing.B) {
			b.SetBytes(size)
			for b.Loop() {
				if err := way.put(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
