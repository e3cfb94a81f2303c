package fileapi

import (
	"mime"
	"path"
	"strings"
)

// types are the content types of the kinds of file that people keep here. They
// must not depend on the machine that the server runs on.
var types = map[string]string{
	".doc":     "application/msword",
	".dot":     "application/msword",
	".docx":    "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
	".docm":    "application/vnd.ms-word.document.macroEnabled.12",
	".dotx":    "application/vnd.openxmlformats-officedocument.wordprocessingml.template",
	".xls":     "application/vnd.ms-excel",
	".xlsx":    "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
	".xlsm":    "application/vnd.ms-excel.sheet.macroEnabled.12",
	".xlsb":    "application/vnd.ms-excel.sheet.binary.macroEnabled.12",
	".xltx":    "application/vnd.openxmlformats-officedocument.spreadsheetml.template",
	".ppt":     "application/vnd.ms-powerpoint",
	".pptx":    "application/vnd.openxmlformats-officedocument.presentationml.presentation",
	".pptm":    "application/vnd.ms-powerpoint.presentation.macroEnabled.12",
	".ppsx":    "application/vnd.openxmlformats-officedocument.presentationml.slideshow",
	".potx":    "application/vnd.openxmlformats-officedocument.presentationml.template",
	".vsd":     "application/vnd.visio",
	".vsdx":    "application/vnd.ms-visio.drawing",
	".one":     "application/onenote",
	".msg":     "application/vnd.ms-outlook",
	".odt":     "application/vnd.oasis.opendocument.text",
	".ott":     "application/vnd.oasis.opendocument.text-template",
	".fodt":    "application/vnd.oasis.opendocument.text-flat-xml",
	".ods":     "application/vnd.oasis.opendocument.spreadsheet",
	".ots":     "application/vnd.oasis.opendocument.spreadsheet-template",
	".fods":    "application/vnd.oasis.opendocument.spreadsheet-flat-xml",
	".odp":     "application/vnd.oasis.opendocument.presentation",
	".otp":     "application/vnd.oasis.opendocument.presentation-template",
	".odg":     "application/vnd.oasis.opendocument.graphics",
	".rtf":     "application/rtf",
	".csv":     "text/csv; charset=utf-8",
	".tsv":     "text/tab-separated-values; charset=utf-8",
	".pdf":     "application/pdf",
	".ps":      "application/postscript",
	".epub":    "application/epub+zip",
	".txt":     "text/plain; charset=utf-8",
	".log":     "text/plain; charset=utf-8",
	".md":      "text/markdown; charset=utf-8",
	".eml":     "message/rfc822",
	".ics":     "text/calendar; charset=utf-8",
	".vcf":     "text/vcard; charset=utf-8",
	".html":    "text/html; charset=utf-8",
	".htm":     "text/html; charset=utf-8",
	".xhtml":   "application/xhtml+xml",
	".css":     "text/css; charset=utf-8",
	".js":      "text/javascript; charset=utf-8",
	".json":    "application/json",
	".xml":     "application/xml",
	".yaml":    "application/yaml",
	".yml":     "application/yaml",
	".zip":     "application/zip",
	".gz":      "application/gzip",
	".tar":     "application/x-tar",
	".7z":      "application/x-7z-compressed",
	".rar":     "application/vnd.rar",
	".bin":     "application/octet-stream",
	".exe":     "application/octet-stream",
	".svg":     "image/svg+xml",
	".png":     "image/png",
	".jpg":     "image/jpeg",
	".jpeg":    "image/jpeg",
	".gif":     "image/gif",
	".webp":    "image/webp",
	".avif":    "image/avif",
	".heic":    "image/heic",
	".bmp":     "image/bmp",
	".ico":     "image/vnd.microsoft.icon",
	".tif":     "image/tiff",
	".tiff":    "image/tiff",
	".mp3":     "audio/mpeg",
	".m4a":     "audio/mp4",
	".wav":     "audio/wav",
	".ogg":     "audio/ogg",
	".flac":    "audio/flac",
	".mp4":     "video/mp4",
	".m4v":     "video/mp4",
	".mov":     "video/quicktime",
	".webm":    "video/webm",
	".mkv":     "video/matroska",
	".numbers": "application/vnd.apple.numbers",
	".pages":   "application/vnd.apple.pages",
	".key":     "application/vnd.apple.keynote",
}

// contentType returns the type of a file by its name's extension.
func contentType(name string) string {
	ext := strings.ToLower(path.Ext(name))
	if t, ok := types[ext]; ok {
		return t
	}
	if t := mime.TypeByExtension(ext); t != "" {
		return t
	}
	return "application/octet-stream"
}

// harmless are the types that a browser may show in a page of our origin: it
// runs nothing in them.
var harmless = map[string]bool{
	"application/pdf": true, "text/plain": true, "text/csv": true,
	"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true, "image/avif": true, "image/bmp": true,
	"audio/mpeg": true, "audio/mp4": true, "audio/wav": true, "audio/ogg": true, "audio/flac": true,
	"video/mp4": true, "video/webm": true,
}

// bareType returns a content type without its parameters.
func bareType(t string) string {
	t, _, _ = mime.ParseMediaType(t)
	return t
}
