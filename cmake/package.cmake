# What is installed, and the Debian package that CPack makes of it (docs/install.md).
# `cmake --build build/release --target package` writes bertie_VERSION_amd64.deb.

install(TARGETS bertie)
# The program describes itself, so these are made when it is installed.
install(CODE "
  set(program \"$<TARGET_FILE:bertie>\")
  set(share \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/share\")
  set(man \"\${share}/man/man1\")
  execute_process(COMMAND \${program} man --out \${man} COMMAND_ERROR_IS_FATAL ANY)
  foreach(pair bash=bash-completion/completions/bertie zsh=zsh/vendor-completions/_bertie
      fish=fish/vendor_completions.d/bertie.fish)
    string(REGEX MATCH \"(.+)=(.+)\" unused \${pair})
    execute_process(COMMAND \${program} completion \${CMAKE_MATCH_1} OUTPUT_VARIABLE script
      COMMAND_ERROR_IS_FATAL ANY)
    file(WRITE \${share}/\${CMAKE_MATCH_2} \"\${script}\")
  endforeach()
")

set(BERTIE_MAINTAINER "bertie's developers <bertie@lists.invalid>" CACHE STRING
  "Who answers for the package: NAME <ADDRESS>")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME bertie)
set(CPACK_PACKAGE_CONTACT ${BERTIE_MAINTAINER})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "fine-tunes BERT text classifiers on CPUs and serves them")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
"One native program, without Python and without a GPU: it reads a pretrained
BERT in Hugging Face's form and a file of labelled sentences, trains on one or
several machines, evaluates, compiles to bf16 or int8, and answers HTTP
requests in the forms of SageMaker's model containers and of Hugging Face's
pipelines.")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS ca-certificates)
set(CPACK_DEBIAN_COMPRESSION_TYPE xz)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_STRIP_FILES ON)
# Without the Python package, which has a component of its own.
set(CPACK_INSTALL_CMAKE_PROJECTS "${CMAKE_BINARY_DIR};bertie;Unspecified;/")
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ
  GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
file(WRITE ${CMAKE_BINARY_DIR}/debian/conffiles "/etc/default/bertie\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_BINARY_DIR}/debian/conffiles
  ${CMAKE_SOURCE_DIR}/deploy/debian/postinst ${CMAKE_SOURCE_DIR}/deploy/debian/postrm)
# Files that only a Debian package has.
configure_file(cmake/debian_files.cmake.in debian/files.cmake @ONLY)
set(CPACK_PRE_BUILD_SCRIPTS ${CMAKE_BINARY_DIR}/debian/files.cmake)
include(CPack)
