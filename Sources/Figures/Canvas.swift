#if Cairo
  import CCairo
  import Images

  /// A picture in the making: a Cairo surface, measured in points from the top left corner. All use of Cairo is in this file.
  ///
  /// What is drawn depends on the arguments, Cairo and the installed fonts alone: unhinted letters, grey antialiasing. Letters are those of the theme's family
  /// or, where it is missing, of what fontconfig finds in its place; on a machine without any font Cairo draws its own letters of strokes, which know
  /// ASCII alone.
  public struct Canvas: ~Copyable {
    private let surface: OpaquePointer
    let context: OpaquePointer
    /// In points.
    public let width: Double
    public let height: Double
    /// Pixels for each point.
    public let scale: Double
    let theme: Theme

    /// - Parameters:
    ///   - width, height: in points; pixels are rounded up.
    /// - Throws: `FigureError`.
    public init(width: Double, height: Double, theme: Theme = .standard) throws(FigureError) {
      let scale = theme.scale
      let (columns, rows) = ((width * scale).rounded(.up), (height * scale).rounded(.up))
      guard columns >= 1, rows >= 1, max(columns, rows) <= Double(Self.maxSide),
        columns * rows <= Double(Self.maxPixels)
      else {
        throw .tooLarge(width: Int(clamping: columns), height: Int(clamping: rows))
      }
      guard let surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, CInt(columns), CInt(rows)),
        let context = cairo_create(surface)
      else { throw .drawing(reason: "no surface") }
      (self.width, self.height, self.scale, self.theme) = (width, height, scale, theme)
      (self.surface, self.context) = (surface, context)
      // A failed surface draws nothing, and `finish` tells.
      cairo_scale(context, scale, scale)
      cairo_select_font_face(context, theme.family, CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL)
      if let options = cairo_font_options_create() {
        cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY)
        cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE)
        // Letters begin at whole pixels: the same letter is the same pixels everywhere, which compresses well.
        cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_ON)
        cairo_set_font_options(context, options)
        cairo_font_options_destroy(options)
      }
      cairo_set_line_join(context, CAIRO_LINE_JOIN_ROUND)
      fill(Rectangle(x: 0, y: 0, width: width + 1, height: height + 1), theme.background)
    }

    deinit {
      cairo_destroy(context)
      cairo_surface_destroy(surface)
    }

    /// The picture.
    /// - Throws: `FigureError.drawing` where anything failed since the beginning.
    public consuming func finish() throws(FigureError) -> Image {
      cairo_surface_flush(surface)
      for status in [cairo_status(context), cairo_surface_status(surface)]
      where status != CAIRO_STATUS_SUCCESS {
        throw .drawing(reason: String(cString: cairo_status_to_string(status)))
      }
      let (columns, rows) = (pixelWidth, pixelHeight)
      let stride = Int(cairo_image_surface_get_stride(surface))
      guard let data = cairo_image_surface_get_data(surface) else { throw .drawing(reason: "no pixels") }
      let pixels = [UInt8](unsafeUninitializedCapacity: rows * columns * 3) { pixels, count in
        for y in 0..<rows {
          // One native 32-bit word a pixel: 0xXXRRGGBB.
          UnsafeRawPointer(data + y * stride).withMemoryRebound(to: UInt32.self, capacity: columns) { row in
            for x in 0..<columns {
              let first = 3 * (y * columns + x)
              pixels[first] = UInt8(truncatingIfNeeded: row[x] >> 16)
              pixels[first + 1] = UInt8(truncatingIfNeeded: row[x] >> 8)
              pixels[first + 2] = UInt8(truncatingIfNeeded: row[x])
            }
          }
        }
        count = rows * columns * 3
      }
      return Image(width: columns, height: rows, pixels: pixels)
    }

    private var pixelWidth: Int { Int(cairo_image_surface_get_width(surface)) }
    private var pixelHeight: Int { Int(cairo_image_surface_get_height(surface)) }

    // MARK: Shapes

    func set(_ color: Color, opacity: Double = 1) {
      cairo_set_source_rgba(
        context, Double(color.red) / 255, Double(color.green) / 255, Double(color.blue) / 255, opacity)
    }

    public func fill(_ rectangle: Rectangle, _ color: Color, opacity: Double = 1) {
      set(color, opacity: opacity)
      cairo_rectangle(context, rectangle.x, rectangle.y, rectangle.width, rectangle.height)
      cairo_fill(context)
    }

    /// The inside of a polygon.
    public func fill(_ corners: [Point], _ color: Color) {
      set(color)
      cairo_new_path(context)
      for corner in corners { cairo_line_to(context, corner.x, corner.y) }
      cairo_close_path(context)
      cairo_fill(context)
    }

    /// A frame around a rectangle, outside of it.
    public func frame(_ rectangle: Rectangle, _ color: Color, width: Double = 0.8) {
      set(color)
      cairo_set_line_width(context, width)
      cairo_set_dash(context, nil, 0, 0)
      let half = width / 2
      cairo_rectangle(
        context, rectangle.x - half, rectangle.y - half, rectangle.width + width, rectangle.height + width)
      cairo_stroke(context)
    }

    /// Points of one path: Cairo looks for all crossings of a path with itself, so that a long one takes forever.
    private static let pathLength = 256

    /// A line through points; points that are not finite interrupt it.
    public func line(
      _ points: [Point], _ color: Color, width: Double, dash: [Double] = [], opacity: Double = 1
    ) {
      set(color, opacity: opacity)
      cairo_set_line_width(context, width)
      cairo_set_dash(context, dash, CInt(dash.count), 0)
      var last: Point?
      var count = 0
      for point in points {
        guard point.x.isFinite, point.y.isFinite else {
          last = nil
          continue
        }
        if let last {
          if count >= Self.pathLength, dash.isEmpty {
            cairo_stroke(context)
            cairo_move_to(context, last.x, last.y)
            count = 0
          }
          cairo_line_to(context, point.x, point.y)
        } else {
          cairo_move_to(context, point.x, point.y)
        }
        last = point
        count += 1
      }
      cairo_stroke(context)
    }

    public func dot(_ center: Point, radius: Double, _ color: Color, opacity: Double = 1) {
      guard center.x.isFinite, center.y.isFinite else { return }
      set(color, opacity: opacity)
      cairo_new_path(context)
      cairo_arc(context, center.x, center.y, radius, 0, 2 * .pi)
      cairo_fill(context)
    }

    /// From here to ``unclip()``, nothing is drawn beside the rectangle.
    func clip(to rectangle: Rectangle) {
      cairo_save(context)
      cairo_rectangle(context, rectangle.x, rectangle.y, rectangle.width, rectangle.height)
      cairo_clip(context)
    }

    func unclip() { cairo_restore(context) }

    // MARK: Text

    /// One line of text.
    /// - Parameter turned: whether it is read from the bottom up; the anchor is that of the text before it is turned.
    public func draw(
      _ text: String, at point: Point, _ anchor: TextAnchor, _ style: TextStyle, turned: Bool = false
    ) {
      let text = Self.printable(text)
      select(style)
      var font = cairo_font_extents_t()
      cairo_font_extents(context, &font)
      let shift =
        switch anchor.horizontal {
        case .start: 0.0
        case .middle: -advance(text) / 2
        case .end: -advance(text)
        }
      let drop =
        switch anchor.vertical {
        case .top: font.ascent
        case .middle: Self.capitalHeight * style.size / 2
        case .baseline: 0.0
        case .bottom: -font.descent
        }
      set(style.color)
      let start =
        turned ? Point(point.x + drop, point.y - shift) : Point(point.x + shift, point.y + drop)
      cairo_save(context)
      cairo_translate(context, points(pixel(start.x)), points(pixel(start.y)))
      if turned { cairo_rotate(context, -.pi / 2) }
      cairo_move_to(context, 0, 0)
      cairo_show_text(context, text)
      cairo_restore(context)
    }

    /// How far a line of text reaches, in points.
    public func width(of text: String, _ style: TextStyle) -> Double {
      select(style)
      return advance(Self.printable(text))
    }

    private func select(_ style: TextStyle) {
      cairo_select_font_face(
        context, theme.family, CAIRO_FONT_SLANT_NORMAL,
        style.isBold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL)
      cairo_set_font_size(context, style.size)
    }

    private func advance(_ text: String) -> Double {
      var extents = cairo_text_extents_t()
      cairo_text_extents(context, text, &extents)
      return extents.x_advance
    }

    // MARK: Images

    /// An image's pixels as they are, one for each of the picture's, its top left corner at the pixel nearest to a point.
    public func draw(_ image: Image, at corner: Point) {
      cairo_surface_flush(surface)
      guard let data = cairo_image_surface_get_data(surface) else { return }
      let stride = Int(cairo_image_surface_get_stride(surface))
      let (left, top) = (pixel(corner.x), pixel(corner.y))
      let columns = max(0, -left)..<max(0, -left, min(image.width, pixelWidth - left))
      for y in max(0, -top)..<max(0, -top, min(image.height, pixelHeight - top)) {
        UnsafeMutableRawPointer(data + (top + y) * stride).withMemoryRebound(
          to: UInt32.self, capacity: pixelWidth
        ) { row in
          for x in columns {
            let first = 3 * (y * image.width + x)
            row[left + x] =
              UInt32(image.pixels[first]) << 16 | UInt32(image.pixels[first + 1]) << 8
              | UInt32(image.pixels[first + 2])
          }
        }
      }
      cairo_surface_mark_dirty(surface)
    }
  }

  extension Int {
    fileprivate init(clamping value: Double) {
      self = value.isNaN ? 0 : value >= 9e18 ? .max : value <= -9e18 ? .min : Int(value)
    }
  }
#endif
